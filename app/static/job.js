// A job as it goes: its events as they come, with the curves that are in them. The rest of the page is fetched anew by
// htmx; this only tells it when there is a reason to.
//
// Ten thousand events must not hold the page up: what arrives is put aside and shown once a frame, no more than SHOWN lines
// are in the page at once, and each line is made when it is shown.

import { ask, localTimes, notice, quiet, refresh } from "./pith.js";

const SHOWN = 300;
const EACH = 25; // lines at most in one frame, so that none takes long
const APART = 250; // milliseconds, between two drawings of the curves
const AGAIN = 3000; // milliseconds, before a stream that was refused is asked for again
const MOVES = new Set(["queued", "started", "requeued", "step_started", "step_finished", "artifact", "pausing", "paused", "resumed", "cancelling"]);
const CALLED = { warning: "note" }; // what the reader should know, and no cause for alarm
const LAST = new Set(["succeeded", "failed", "cancelled"]);
const place = document.getElementById("events");
const log = document.getElementById("log");
const count = document.getElementById("event-count");
const steps = place.dataset.steps.split(" ").filter(Boolean);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const events = [];
let end = 0; // of the lines that are shown
let following = true;
let drawn = 0;
let due = false;
let moved = false; // something has happened that the rest of the page shows too
let source = null;
let away = false; // the service, as far as this page knows

// ---- events

function listen() {
  source = new EventSource(`/v1/jobs/${place.dataset.job}/events?after=${events.at(-1)?.seq ?? 0}`);
  for (const type of place.dataset.types.split(" ")) source.addEventListener(type, take);
  source.addEventListener("open", () => {
    if (away) quiet();
    away = false;
  });
  source.addEventListener("error", lost);
}

/** The browser asks again by itself, or else this does; the reader is told, or has to sign in again. */
async function lost() {
  if (over()) return;
  if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  try {
    await ask("GET", `/v1/jobs/${place.dataset.job}`);
  } catch (problem) {
    away = true;
    notice(`${problem.message} What stands here is what was last known; it goes on by itself.`, "warn");
  }
}

const over = () => LAST.has(document.getElementById("now").dataset.status);

function take(message) {
  const event = JSON.parse(message.data);
  if (event.seq <= (events.at(-1)?.seq ?? 0)) return;
  events.push(event);
  if (event.type === "metric") plot(event);
  if (MOVES.has(event.type) || LAST.has(event.type)) moved = true;
  if (LAST.has(event.type)) {
    source.close();
    refresh("fork"); // from what its steps have kept
  }
  soon();
}

function frame(now) {
  due = false;
  if (following) show(events.length - end > SHOWN ? events.length : Math.min(events.length, end + EACH));
  tell();
  const stale = [...charts.values()].filter((chart) => chart.fresh);
  if (now - drawn > APART) {
    drawn = now;
    for (const chart of stale.splice(0)) chart.draw();
  }
  if (moved) {
    moved = false;
    document.getElementById("now").dispatchEvent(new CustomEvent("pith:moved"));
  }
  if (ahead() || stale.length) soon();
}

/** Whether there is more to show than is shown. */
const ahead = () => following && end < events.length;

function soon() {
  if (due) return;
  due = true;
  requestAnimationFrame(frame);
}

/** The lines before `to`; those that are there already stay. */
function show(to) {
  const from = Math.max(0, to - SHOWN);
  const kept = Math.max(from, end - log.childElementCount);
  if (to < end || kept >= end) log.replaceChildren(...lines(from, to));
  else {
    while (log.childElementCount > end - kept) log.firstChild.remove();
    log.append(...lines(end, to));
  }
  end = to;
  if (following) log.scrollTop = log.scrollHeight;
}

const lines = (from, to) => events.slice(from, to).map(line);

/** One text and no element in it: thousands of these are made while a job runs. */
function line(event) {
  const made = document.createElement("li");
  made.className = event.type;
  const step = event.step === null || event.step === undefined ? "" : `${event.step + 1}. `;
  const at = clock.format(new Date(event.at));
  const widths = Object.values(event.data?.widths ?? {});
  const left = widths.length ? `: ${widths.reduce((all, each) => all + each, 0)}` : "";
  made.textContent = `${String(event.seq).padStart(5)}  ${at}  ${(CALLED[event.type] ?? event.type).padEnd(13)} ${step}${event.message}${left}`;
  return made;
}

function tell() {
  const first = events.length === 0 ? 0 : Math.max(1, end - log.childElementCount + 1);
  count.textContent = events.length <= SHOWN ? `${events.length}` : `${first} to ${end} of ${events.length}`;
  document.getElementById("earlier").disabled = first <= 1;
  document.getElementById("later").disabled = end >= events.length;
  document.getElementById("newest").setAttribute("aria-pressed", String(following));
}

function turn(to) {
  following = to >= events.length;
  show(Math.min(events.length, Math.max(to, Math.min(SHOWN, events.length))));
  if (!following) log.scrollTop = 0;
  tell();
}

document.getElementById("earlier").addEventListener("click", () => turn(end - SHOWN));
document.getElementById("later").addEventListener("click", () => turn(end + SHOWN));
document.getElementById("newest").addEventListener("click", () => turn(events.length));
log.addEventListener("wheel", () => {
  following = end >= events.length && log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  tell();
}, { passive: true });

// ---- curves: each number that a step's metric events have, by the order in which they came

const charts = new Map();
const HEIGHT = 200;
const BESIDE = new Set(["epoch", "phase"]);

function plot(event) {
  for (const [name, value] of Object.entries(event.data ?? {})) {
    if (typeof value !== "number" || BESIDE.has(name)) continue;
    const key = `${event.step ?? ""} ${name}`;
    if (!charts.has(key)) charts.set(key, new Chart(event.step, name));
    charts.get(key).add(value, event.data.phase);
  }
}

class Chart {
  constructor(step, name) {
    this.values = [[], []];
    this.name = name.replaceAll("_", " ");
    this.fresh = false;
    this.phase = null;
    this.marks = []; // where another training of the same step begins
    const where = step === null || step === undefined ? "" : `, ${step + 1}. ${steps[step] ?? ""}`;
    this.figure = document.createElement("figure");
    this.caption = document.createElement("figcaption");
    this.title = `${this.name}${where}`;
    this.figure.append(this.caption);
    document.getElementById("curves").append(this.figure);
    document.getElementById("curves-card").hidden = false;
    this.made = null;
    // Another figure beside it leaves it less room.
    new ResizeObserver(() => this.made?.setSize({ width: this.width(), height: HEIGHT })).observe(this.figure);
  }

  width() {
    return this.figure.clientWidth || 320;
  }

  add(value, phase = null) {
    if (this.phase !== null && phase !== this.phase) this.marks.push(this.values[0].length + 0.5);
    this.phase = phase;
    this.values[0].push(this.values[0].length + 1);
    this.values[1].push(value);
    this.fresh = true;
  }

  draw() {
    if (!this.fresh) return;
    this.fresh = false;
    const known = this.values[1];
    this.caption.textContent = `${this.title}: ${known.length} ${known.length === 1 ? "point" : "points"}, ${short(known[0])} at first, ${short(known.at(-1))} now${this.trainings()}`;
    if (this.made) this.made.setData(this.values);
    else this.make();
  }

  trainings() {
    const count = this.marks.length + 1;
    return count === 1 ? "" : `, in ${count} trainings of this step, with a line between each two`;
  }

  /** Lines between the trainings of a step, with the number of the one that begins. */
  lines(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
    ctx.setLineDash([4, 4]);
    ctx.textAlign = "left";
    for (const [index, mark] of this.marks.entries()) {
      const x = Math.round(plot.valToPos(mark, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(` ${index + 2}.`, x, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }

  make() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--soft").trim();
    const axis = { stroke: ink, grid: { stroke: style.getPropertyValue("--line").trim(), width: 0.5 }, ticks: { show: false } };
    this.made?.destroy();
    this.made = new uPlot(
      {
        width: this.width(),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false },
        hooks: { draw: [(plot) => this.lines(plot)] },
        scales: { x: { time: false } },
        axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }, { ...axis, size: 56 }],
        series: [{}, { label: this.name, stroke: style.getPropertyValue("--one").trim(), width: 2, points: { show: this.values[0].length < 40, size: 5 } }],
      },
      this.values,
      this.figure,
    );
    this.made.root.setAttribute("aria-hidden", "true");
    this.figure.prepend(this.made.root);
  }
}

const short = (value) => Number(value).toPrecision(4).replace(/\.?0+$/, "");

function again() {
  for (const chart of charts.values()) if (chart.made) chart.make();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

// ---- what a button of the page has done shows at once

document.addEventListener("pith:done", () => document.getElementById("now").dispatchEvent(new CustomEvent("pith:moved")));
localTimes(document);
listen();
