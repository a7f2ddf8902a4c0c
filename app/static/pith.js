// What every page can do: send a form or a press of a button to the API, and tell in words what was wrong.
//
//   <form data-send="POST /v1/keys" data-then="show">    its fields, as JSON; see `valueOf` for their types
//   <button data-send="DELETE /v1/keys/key_…" data-ask="Revoke it?" data-then="reload">
//   <button data-copy="#address-of-an-element">          copies its text
//
// `data-then` is `reload`, `go ADDRESS`, where {id} is taken from the answer, or `tell`, which only sends the event
// `pith:done`, with the answer as its detail. A problem (RFC 9457) is shown at the field that its pointer names, or else
// on top of the page. With `data-once` the same pressed again makes nothing new (Idempotency-Key).
//
//   <div data-await="/v1/models/mdl_…" data-part="list">   shows the page anew, or that part of it, once it is checked

const SCALARS = { integer: (text) => Number.parseInt(text, 10), number: Number, boolean: (text) => text === "true" };

/** A request to this service, with a document or a Blob. Its answer as JSON, or null; throws a Problem. */
export async function ask(method, path, body, headers = {}) {
  const init = { method, headers: { Accept: "application/json", ...headers } };
  if (body instanceof Blob) init.body = body;
  else if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Problem({ detail: "The service does not answer. Is it still running?", code: "unreachable" });
  }
  const text = await answer.text();
  let told = null;
  try {
    told = text ? JSON.parse(text) : null;
  } catch {
    /* told below */
  }
  if (answer.ok) return told;
  if (answer.status === 401) location.reload(); // the page says why, and asks for a key
  throw new Problem(told ?? { detail: `The service answered ${answer.status}.`, code: "unknown" });
}

export class Problem extends Error {
  constructor(told) {
    super(told.detail ?? told.title ?? "Something is wrong.");
    this.code = told.code;
    this.errors = told.errors ?? [];
  }
}

/** A sentence on top of the page; `kind` is good, bad or warn. Read out at once by a screen reader. */
export function notice(text, kind = "bad") {
  const place = document.getElementById("notices");
  const told = document.createElement("p");
  told.className = `notice ${kind}`;
  told.textContent = text;
  place.replaceChildren(told);
  if (kind === "bad") place.scrollIntoView({ block: "nearest" });
}

export function quiet() {
  document.getElementById("notices").replaceChildren();
}

/** Each error at the field it is about, by the field's name (`tags` or `schema/label`); what has no field on top. */
export function show(problem, form) {
  const rest = [];
  let first = null;
  for (const error of problem.errors ?? []) {
    const field = form && fieldOf(form, error.pointer ?? "");
    if (field) {
      mark(field, error.detail);
      first ??= field;
    } else rest.push(error.detail);
  }
  if (first) first.focus();
  if (!first || rest.length) notice(problem.message);
}

/** Takes away what `show` has marked. */
export function clear(form) {
  quiet();
  for (const told of form.querySelectorAll(".wrong")) told.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-errormessage");
  }
}

export function mark(field, text) {
  const told = document.createElement("span");
  told.className = "wrong";
  told.id = `wrong-${field.id || field.name}`;
  told.textContent = text;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-errormessage", told.id);
  (field.closest(".field") ?? field.parentElement).append(told);
}

function fieldOf(form, pointer) {
  const steps = pointer.replace(/^#/, "").replace(/^\/query\//, "/").split("/").filter(Boolean);
  for (let length = steps.length; length > 0; length -= 1) {
    const found = form.elements.namedItem(steps.slice(0, length).join("/"));
    if (found) return found instanceof RadioNodeList ? found[0] : found;
  }
  return null;
}

/** The fields of a form as a document: `quotas/jobs_at_once` is a field of a field; what is empty is left out. */
export function documentOf(form) {
  const made = {};
  for (const part of form.querySelectorAll("[data-object]")) made[part.dataset.object] = {}; // also when all of it is empty
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    const value = valueOf(field);
    if (value === undefined) continue;
    const steps = field.name.split("/");
    let place = made;
    for (const step of steps.slice(0, -1)) place = place[step] ??= {};
    const last = steps.at(-1);
    if (field.dataset.type === "list") (place[last] ??= []).push(...value);
    else place[last] = value;
  }
  return made;
}

function valueOf(field) {
  const type = field.dataset.type ?? "string";
  if (field.type === "checkbox") {
    if (type === "list") return field.checked ? [field.value] : [];
    return field.checked;
  }
  if (field.type === "radio" && !field.checked) return undefined;
  if (field.value === "" && field.dataset.empty === "list") return [];
  if (field.value === "") return undefined;
  if (type === "words") return field.value.split(/[\s,]+/).filter(Boolean);
  if (type === "json") return jsonOf(field);
  if (type === "moment") return new Date(field.value).toISOString();
  return type in SCALARS ? SCALARS[type](field.value) : field.value;
}

function jsonOf(field) {
  try {
    return JSON.parse(field.value);
  } catch (fault) {
    const detail = `This should be JSON and is not: ${fault.message}`;
    throw new Problem({ detail, code: "malformed_request", errors: [{ pointer: `/${field.name}`, detail }] });
  }
}

/** Asks in a dialog of the page; true when the person says yes. */
export function confirmed(question, yes = "Yes") {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.id = "question";
  text.textContent = question;
  const row = document.createElement("form");
  row.method = "dialog";
  row.className = "actions";
  for (const [value, label, kind] of [["yes", yes, "primary"], ["no", "No, leave it", ""]]) {
    const button = document.createElement("button");
    button.autofocus = value === "no";
    button.value = value;
    button.textContent = label;
    button.className = kind;
    row.append(button);
  }
  dialog.setAttribute("aria-labelledby", "question");
  dialog.append(text, row);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

async function send(element, body) {
  const [method, path] = element.dataset.send.split(" ");
  const form = element instanceof HTMLFormElement ? element : null;
  const pressed = form ? form.querySelector("button:not([type=button])") : element;
  if (element.dataset.ask && !(await confirmed(element.dataset.ask, element.dataset.yes ?? pressed.textContent.trim()))) return;
  if (form) clear(form);
  else quiet();
  pressed.disabled = true;
  try {
    then(element, await ask(method, path, body, once(element, body)));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    show(problem, form);
  } finally {
    pressed.disabled = false;
  }
}

const asked = new WeakMap(); // what an element has sent last, and under which name

/** One name for all requests of this element that say the same. */
function once(element, body) {
  if (element.dataset.once === undefined) return {};
  const said = JSON.stringify(body ?? null);
  if (asked.get(element)?.said !== said) asked.set(element, { said, name: [...crypto.getRandomValues(new Uint32Array(4))].join("-") });
  return { "Idempotency-Key": asked.get(element).name };
}

function then(element, answer) {
  const [what, where] = (element.dataset.then ?? "tell").split(" ");
  if (what === "reload") location.reload();
  else if (what === "go") location.assign(where.replace("{id}", encodeURIComponent(answer?.id ?? "")));
  element.dispatchEvent(new CustomEvent("pith:done", { bubbles: true, detail: answer }));
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.send) return;
  event.preventDefault();
  let body;
  try {
    body = documentOf(form);
  } catch (problem) {
    clear(form);
    show(problem instanceof Problem ? problem : new Problem({ detail: "One of the fields cannot be read." }), form);
    return;
  }
  send(form, body);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-send], button[data-copy]");
  if (button?.dataset.send) send(button);
  else if (button) copy(button);
});

async function copy(button) {
  const text = document.querySelector(button.dataset.copy).textContent;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy";
  }
  setTimeout(() => (button.textContent = said), 2000);
}

/** Fetches this page again and puts the new part with this id in the place of the old one. */
export async function refresh(id) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
  const old = document.getElementById(id);
  if (!fresh || !old) return;
  const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
  old.replaceWith(document.adoptNode(fresh));
  if (focused) fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  localTimes(fresh);
  awaitChecks();
}

let awaiting = false;

/** Waits for the first upload on this page that is being checked; then the next one. */
async function awaitChecks() {
  const first = document.querySelector("[data-await]");
  if (!first || awaiting) return;
  awaiting = true;
  try {
    let found;
    do {
      found = await ask("GET", `${first.dataset.await}?wait=30`);
    } while (found.status === "checking");
    if (!first.dataset.part) location.reload();
  } catch (problem) {
    notice(problem.message, "warn");
    return;
  } finally {
    awaiting = false;
  }
  if (first.dataset.part) refresh(first.dataset.part);
}

// On a phone the navigation is wider than the screen.
const there = document.querySelector(".top nav [aria-current]");
if (there) there.closest("ul").scrollLeft = there.offsetLeft - there.closest("ul").clientWidth / 2;

// Times are written in UTC by the server, and in the reader's own zone where there is a script.
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent;
    time.textContent = LOCAL.format(new Date(time.dateTime));
  }
}

localTimes(document);
awaitChecks();
document.addEventListener("htmx:after:swap", () => localTimes(document));
