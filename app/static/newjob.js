// The form of a new job. The server makes the form, the JSON and the plan of one another; this asks it after each change,
// puts what came back in its place, and sends the job in the end. What is typed in is kept for this tab, until the job is
// sent or somebody starts over.

import { ask, Problem } from "./pith.js";

const form = document.getElementById("draft");
const said = document.getElementById("said");
const PLACE = "pith new job";
const PAUSE = 350; // milliseconds without typing, after which the server is asked
const typed = new Map(); // what was typed while the server was making another form
let latest = 0;
let timer = 0;
let building = 0;
let turn = Promise.resolve();

const by = (id, root = form) => root.querySelector(`[id="${id}"]`);

/** What went wrong, beside the buttons, where it moves nothing that one is about to press. */
const tell = (text) => (by("refused").textContent = text);

/** The form as it would be after `act`; null when a later question has overtaken this one. */
async function worked(act, fields) {
  const mine = (latest += 1);
  const given = new URLSearchParams(fields ?? new FormData(form));
  given.set("do", act);
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body: given, headers: { "Pith-Part": "draft", Accept: "application/problem+json" } });
  } catch {
    tell("The service does not answer. Is it still running?");
    return null;
  }
  if (mine !== latest) return null;
  if (answer.status === 401) location.reload(); // the page says why, and asks for a key
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    tell(problem.detail ?? `The service answered ${answer.status}.`);
    return null;
  }
  tell("");
  const inner = document.createElement("template");
  inner.innerHTML = await answer.text();
  return mine === latest ? inner.content : null;
}

/** After typing: everything but the fields themselves, so that nobody is disturbed. */
async function look(act) {
  const fresh = await worked(act);
  if (!fresh) return;
  const typing = document.activeElement;
  if (act === "json" || !alike(fresh)) replace("fields", fresh);
  else marks(fresh);
  for (const id of ["sending", "plan", "lines", "json-wrong"]) replace(id, fresh);
  by("json").toggleAttribute("aria-invalid", by("json", fresh).hasAttribute("aria-invalid"));
  if (typing?.id !== "json") by("json").value = by("json", fresh).value;
  said.textContent = by("sending-title").textContent;
  keep(act);
  ready();
}

/** After a button or another shape: the whole form, one after the other, with the focus where the work goes on. */
function rebuild(act, focus, fields) {
  building += 1;
  clearTimeout(timer);
  turn = turn.then(() => built(act, focus, fields)).finally(() => (building -= 1));
}

async function built(act, focus, fields) {
  const open = [...form.querySelectorAll("details[open][id]")].map((each) => each.id);
  typed.clear();
  const fresh = await worked(act, fields);
  if (!fresh) return;
  form.replaceChildren(fresh);
  keep(act === "json" ? act : "");
  for (const id of open) by(id)?.setAttribute("open", "");
  ready();
  if (typed.size) {
    again();
    return;
  }
  const place = focus();
  place?.focus();
  place?.scrollIntoView({ block: "nearest" });
}

/** What was typed meanwhile is put into the new form. */
function again() {
  for (const [name, value] of typed) {
    const field = form.elements.namedItem(name);
    if (field && "value" in field) field.value = value;
  }
  by("send").disabled = true;
  timer = setTimeout(() => look(typed.has("json") ? "json" : ""), PAUSE);
}

function replace(id, fresh) {
  const there = by(id, fresh);
  const open = [by(id), ...by(id).querySelectorAll("details[open][id]")].filter((each) => each.open).map((each) => each.id);
  by(id).replaceWith(there);
  for (const each of open) by(each)?.setAttribute("open", "");
}

function names(root) {
  return [...root.querySelectorAll("#fields [name]:not(button)")].map((each) => each.name).join("\n");
}

const alike = (fresh) => names(fresh) === names(document);

function marks(fresh) {
  for (const field of form.querySelectorAll("#fields [id][name]")) {
    const there = by(field.id, fresh);
    field.toggleAttribute("required", there?.hasAttribute("required") ?? false);
    const wrong = there?.getAttribute("aria-invalid");
    if (wrong) field.setAttribute("aria-invalid", wrong);
    else field.removeAttribute("aria-invalid");
  }
  for (const there of fresh.querySelectorAll("[data-live]")) by(there.id)?.replaceWith(there);
}

/** What stands in the form, for when this page is left by mistake; an address that asked for something has been heard. */
function keep(act) {
  const fields = new URLSearchParams(new FormData(form)).toString();
  try {
    sessionStorage.setItem(PLACE, JSON.stringify({ whose: form.dataset.whose, act, fields }));
  } catch {
    return; // no room, or not allowed to
  }
  if (location.search) history.replaceState(null, "", location.pathname);
}

/** The form as it was left, unless the address asks for something else. */
function restore() {
  let found = null;
  try {
    found = JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    /* nothing that can be read */
  }
  if (!found || found.whose !== form.dataset.whose || location.search) return;
  document.getElementById("kept").hidden = false;
  rebuild(found.act, () => null, found.fields);
}

function forget() {
  try {
    sessionStorage.removeItem(PLACE);
  } catch {
    /* nothing was kept */
  }
}

/** What only a script can do is shown. */
function ready() {
  by("send").hidden = false;
  by("take-json").hidden = true;
  for (const field of form.querySelectorAll("[data-search]")) field.hidden = false;
}

const steps = () => form.querySelectorAll(".step");

/** What is done, said to who cannot see it, and where the focus goes. */
function after(act) {
  const [what, place] = act.split(":");
  if (what === "preset") return ["The steps are those of the aim now.", () => by("f-recipe")];
  if (what === "add" && place === "/recipe") return ["The step is added.", () => [...steps()].at(-1)];
  if (what === "add") return ["Added.", () => by(`f${place.replaceAll(/[^0-9A-Za-z]+/g, "-")}`)];
  if (what === "remove") return ["Removed.", () => by("f-recipe")];
  if (what === "up" || what === "down") {
    const index = Number(place.split("/").at(-1)) + (what === "up" ? -1 : 1);
    return [`It is step ${index + 1} now.`, () => steps()[index]];
  }
  return ["", () => by("plan")];
}

async function submit() {
  const tags = form.elements.tags.value.split(/[\s,]+/).filter(Boolean);
  const query = tags.map((tag) => `tag=${encodeURIComponent(tag)}`).join("&");
  by("send").disabled = true;
  try {
    const job = await ask("POST", `/v1/jobs${query ? `?${query}` : ""}`, JSON.parse(by("json").value));
    forget();
    location.assign(`/jobs/${job.id}`);
  } catch (problem) {
    if (!(problem instanceof Problem || problem instanceof SyntaxError)) throw problem;
    tell(problem.message);
    by("send").disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const act = event.submitter?.value ?? "";
  const [words, focus] = after(act);
  said.textContent = words;
  rebuild(act, focus);
});

form.addEventListener("input", (event) => {
  const field = event.target;
  if (field.dataset.search) {
    find(field);
    return;
  }
  if (field.matches("[data-shape]")) return;
  if (building) {
    typed.set(field.name, field.value);
    return;
  }
  clearTimeout(timer);
  latest += 1;
  by("send").disabled = true;
  keep(field.id === "json" ? "json" : "");
  timer = setTimeout(() => look(field.id === "json" ? "json" : ""), PAUSE);
});

form.addEventListener("change", (event) => {
  const field = event.target;
  if (field.matches("[data-shape]")) rebuild("", () => by(field.id));
});

form.addEventListener("click", (event) => {
  if (event.target.id === "send") submit();
  const link = event.target.closest("#problems a");
  if (!link) return;
  event.preventDefault();
  const field = by(decodeURIComponent(link.hash.slice(1)));
  for (let place = field; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  field?.focus();
});

/** Options whose words do not hold what is looked for are put away. */
function find(field) {
  const wanted = field.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  for (const option of by(field.dataset.search).options) {
    const text = option.textContent.toLowerCase();
    option.hidden = option.disabled = option.value !== "" && !option.selected && !wanted.every((word) => text.includes(word));
  }
}

document.getElementById("anew").addEventListener("click", () => {
  forget();
  location.assign(location.pathname);
});

ready();
restore();
