// Files to the service by tus 1.0, in one request that may break: what has arrived is kept, and a transfer goes on from
// there, also after the page was closed, once the same file is chosen again.

import { Problem, clear, mark, refresh, show } from "./pith.js";

const form = document.getElementById("transfer");
const list = document.getElementById("transfers");
const { of, listing } = form.dataset;
const WORDS = ["architecture", "arguments", "input_shape", "schema", "tags"];
const LONGEST_NAME = 255;
const PASSING = new Set([408, 409, 412, 423, 429, 460]); // what another try may mend, besides what is broken over there

form.addEventListener("submit", (event) => event.preventDefault());
form.file.addEventListener("change", () => {
  begin(form.file.files);
  form.file.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  form.classList.remove("over");
  const folders = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory);
  begin(event.dataTransfer.files, new Set(folders.map((entry) => entry.name)));
});

function begin(files, folders = new Set()) {
  clear(form);
  const said = words();
  if (!said) return;
  for (const file of files) {
    const why = folders.has(file.name) ? "This is a folder. Pack it as a zip or tar, and upload that." : unusable(file);
    if (why) new Row(file).failed(why, false);
    else transfer(file, said);
  }
}

/** Why there is no use in sending this file; nothing for one that may be sent. */
function unusable({ name, size: bytes }) {
  if (bytes === 0) return "This file is empty: there is nothing in it to upload. Look whether it was written to its end.";
  if (/[/\\]/.test(name)) return "Its name has a slash in it, which a name may not have here. Rename the file, and choose it again.";
  if (/[\u0000-\u001f\u007f]/.test(name)) return "Its name has characters that cannot be shown. Rename the file, and choose it again.";
  if (name.length > LONGEST_NAME) return `Its name is longer than ${LONGEST_NAME} characters. Rename the file, and choose it again.`;
  return "";
}

/** What is said of the files besides their bytes; null where a field is wrong, which is then said there. */
function words() {
  const said = {};
  for (const name of WORDS) {
    const text = form.elements.namedItem(name)?.value.trim();
    if (text) said[name] = text;
  }
  if (said.tags) said.tags = said.tags.split(/[\s,]+/).filter(Boolean).join(",");
  const schema = {};
  for (const name of ["task", "label"]) {
    const text = form.elements.namedItem(name)?.value.trim();
    if (text) schema[name] = text;
  }
  if (Object.keys(schema).length) said.schema = JSON.stringify(schema);
  const odd = [...form.elements].filter((field) => field.validity?.patternMismatch);
  for (const field of odd) mark(field, `This should be ${field.title}.`);
  if (odd.length) {
    odd[0].focus();
    return null;
  }
  if (said.arguments !== undefined) {
    try {
      JSON.parse(said.arguments);
    } catch {
      mark(form.arguments, "This should be a JSON object.");
      form.arguments.focus();
      return null;
    }
  }
  return said;
}

async function transfer(file, said) {
  const row = new Row(file);
  const upload = new tus.Upload(file, {
    endpoint: "/v1/uploads",
    metadata: { of, name: file.name, ...said },
    fingerprint: async () => ["pith", of, file.name, file.size, file.lastModified, JSON.stringify(said)].join("/"),
    removeFingerprintOnSuccess: true,
    retryDelays: [0, 1000, 3000, 5000, 10000],
    onShouldRetry: (error) => error.originalResponse === null || error.originalResponse.getStatus() >= 500 || error.originalResponse.getStatus() === 423,
    onUploadUrlAvailable: () => document.querySelector(`[data-upload="${upload.url.split("/").pop()}"]`)?.remove(),
    onProgress: (sent, whole) => row.progress(sent, whole),
    onError: (error) => failed(row, error),
    onSuccess: async () => {
      row.done(await madeOf(upload.url));
      refresh("list");
    },
  });
  row.steer(upload);
  const [before] = await upload.findPreviousUploads();
  if (before) upload.resumeFromPreviousUpload(before);
  upload.start();
}

async function madeOf(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  return answer.ok ? (await answer.json())[of] : null;
}

/** In words, at the field that it is about where there is one; what another try cannot mend is not offered again. */
function failed(row, error) {
  const answer = error.originalResponse;
  if (!answer) {
    row.failed("The service does not answer. What has arrived is kept: go on when it is back.", true);
    return;
  }
  const problem = problemOf(answer);
  const fields = problem.errors.filter((each) => form.elements.namedItem(each.pointer.split("/")[2]));
  if (fields.length) show(problem, form);
  const status = answer.getStatus();
  const text = fields.length ? "One of the words about it is wrong, see above." : problem.message.replace(/ \([^()]*PITH_[^()]*\)/, "");
  row.failed(text, status >= 500 || PASSING.has(status));
}

function problemOf(answer) {
  try {
    return new Problem(JSON.parse(answer.getBody()));
  } catch {
    return new Problem({ detail: `The service answered ${answer.getStatus()}.` });
  }
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

function size(value) {
  let place = 0;
  for (; value >= 999.5 && place < UNITS.length - 1; place += 1) value /= 1000;
  return `${Number(value.toPrecision(3))} ${UNITS[place]}`;
}

/** One transfer on the page. */
class Row {
  constructor(file) {
    this.began = performance.now();
    this.element = document.createElement("li");
    this.what = document.createElement("div");
    this.what.className = "what";
    this.name = document.createElement("span");
    this.name.className = "break";
    this.name.textContent = file.name;
    this.bar = document.createElement("progress");
    this.bar.max = 1;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    this.told = document.createElement("span");
    this.told.className = "soft small";
    this.told.textContent = "beginning …";
    this.what.append(this.name, this.bar, this.told);
    this.pause = this.button("Pause");
    this.cancel = this.button("Cancel");
    this.cancel.addEventListener("click", () => this.element.remove());
    this.element.append(this.what, this.pause, this.cancel);
    list.append(this.element);
  }

  button(text) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "tight quiet";
    made.textContent = text;
    return made;
  }

  steer(upload) {
    this.upload = upload;
    this.pause.addEventListener("click", () => this.turn());
    this.cancel.addEventListener("click", () => upload.abort(true).catch(() => {})); // what has arrived expires by itself
  }

  async turn() {
    if (this.pause.textContent === "Pause") {
      await this.upload.abort();
      this.pause.textContent = "Resume";
      this.told.textContent = `paused; ${this.told.textContent}`;
    } else {
      this.pause.textContent = "Pause";
      this.told.className = "soft small";
      this.began = performance.now();
      this.first = undefined;
      this.upload.start();
    }
  }

  progress(sent, whole) {
    this.first ??= sent;
    const seconds = (performance.now() - this.began) / 1000;
    const speed = seconds > 0.5 ? `, ${size((sent - this.first) / seconds)}/s` : "";
    this.bar.value = whole ? sent / whole : 0;
    this.told.textContent = `${size(sent)} of ${size(whole)}${speed}`;
  }

  failed(text, again) {
    this.told.className = "wrong small";
    this.told.setAttribute("role", "alert");
    this.told.textContent = text;
    if (again) this.pause.textContent = "Resume";
    else this.over();
  }

  /** Nothing more comes of it. */
  over() {
    this.bar.remove();
    this.pause.remove();
    this.cancel.textContent = "Dismiss";
    this.cancel.setAttribute("aria-label", `Dismiss ${this.name.textContent}`);
  }

  done(id) {
    this.bar.value = 1;
    this.pause.remove();
    this.cancel.remove();
    this.told.replaceChildren("arrived. What a worker finds in it stands in the list. ");
    this.told.setAttribute("role", "status");
    if (!id) return;
    const link = document.createElement("a");
    link.href = `${listing}/${encodeURIComponent(id)}`;
    link.textContent = "Open";
    link.setAttribute("aria-label", `Open ${this.name.textContent}`);
    this.told.append(link);
  }
}
