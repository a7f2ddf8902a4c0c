// Files to the service by tus 1.0, in one request that may break: what has arrived is kept, and a transfer goes on from
// there, also after the page was closed, once the same file is chosen again.

import { mark, clear, refresh } from "./pith.js";

const form = document.getElementById("transfer");
const list = document.getElementById("transfers");
const { of, listing } = form.dataset;
const WORDS = ["architecture", "arguments", "input_shape", "schema", "tags"];

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
  begin(event.dataTransfer.files);
});

function begin(files) {
  clear(form);
  const said = words();
  if (said) for (const file of files) transfer(file, said);
}

/** What is said of the files besides their bytes; null where a field is wrong, which is then said there. */
function words() {
  const said = {};
  for (const name of WORDS) {
    const text = form.elements.namedItem(name)?.value.trim();
    if (text) said[name] = text;
  }
  const schema = {};
  for (const name of ["task", "label"]) {
    const text = form.elements.namedItem(name)?.value.trim();
    if (text) schema[name] = text;
  }
  if (Object.keys(schema).length) said.schema = JSON.stringify(schema);
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
    onError: (error) => row.failed(sentence(error)),
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

/** The detail of the service's problem, where there is one. */
function sentence(error) {
  try {
    return JSON.parse(error.originalResponse.getBody()).detail;
  } catch {
    return "The service does not answer. What has arrived is kept: go on when it is back.";
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
    this.cancel.addEventListener("click", async () => {
      this.element.remove();
      await upload.abort(true).catch(() => {}); // what has arrived expires by itself
    });
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

  failed(text) {
    this.told.className = "wrong small";
    this.told.setAttribute("role", "alert");
    this.told.textContent = text;
    this.pause.textContent = "Resume";
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
