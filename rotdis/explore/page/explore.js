// The controls: they hold what this tab wants to see, ask the server for it, and show the answer.

import { Connection } from "./connection.js";
import { Stage } from "./scene.js";
import { Euler, Quaternion } from "./three.js";

const AXES = ["x", "y", "z"];
const DEGREES = 180 / Math.PI;
const START = [62, -28, 40]; // degrees: askew, so that the first picture tells something
const OWN = "own"; // the value of the choice that stands for an opened file
const ORDER = "ZYX"; // turned about x first, then y, then z, all of them fixed axes

const byId = (id) => document.getElementById(id);
const labels = Object.fromEntries(
  ["input", "canonical", "decoded"].map((part) => [part, byId(`label-${part}`)]));
const want = { mode: "infer", quaternion: [0, 0, 0, 1], amounts: [], upright: true };
const asked = new Map(); // number of a view -> the time of the event that it was asked for
const latencies = [];
let ownFile, sentFile, about, closed, sequence = 0, scheduled = null, scheduledTime = 0;

const stage = new Stage(byId("canvas"), labels, (quaternion, time) => turn(quaternion, time, false));
const connection = new Connection(
  (message) => ({ hello, opened, shown, sampled: () => ask(), file, error })[message.kind](message),
  (code) => {
    closed = code === 1009 ? "The file is over the limit. Reload the page to go on."
      : "The connection is closed. Is it still running, and not in too many tabs? Reload the page to go on.";
    notify();
  },
);

// What is wanted ------------------------------------------------------------------------------

/** Asks for what is wanted now, at most once a frame; the server answers the newest alone. */
function ask(time = null) {
  scheduled ??= requestAnimationFrame(() => {
    scheduled = null;
    asked.set(++sequence, scheduledTime);
    document.body.dataset.asked = sequence;
    connection.send("view", { sequence, ...want });
  });
  scheduledTime = time;
}

function turn(quaternion, time, movesGizmo = true) {
  want.quaternion = quaternion;
  const angles = new Euler().setFromQuaternion(new Quaternion(...quaternion), ORDER);
  AXES.forEach((axis) => setSlider(byId(`angle-${axis}`), Math.round(angles[axis] * DEGREES)));
  if (movesGizmo) stage.setRotation(quaternion);
  ask(time);
}

function quaternionOf(degrees) {
  return new Quaternion().setFromEuler(new Euler(...degrees.map((d) => d / DEGREES), ORDER)).toArray();
}

function setMode(mode) {
  want.mode = mode;
  document.querySelector(`input[value=${mode}]`).checked = true;
  stage.setMode(mode);
  byId("poses").hidden = mode === "decode";
  byId("sample").disabled = mode === "infer";
  document.querySelector("option[value=input]").disabled = mode === "decode";
  if (mode === "decode" && byId("parts").value === "input") byId("parts").selectedIndex = 0;
  ask();
}

function openObject(index) {
  byId("objects").value = index;
  if (index === OWN) openFile(ownFile);
  else connection.send("open", { index: Number(index) });
}

function openFile(file) {
  if (!file) return;
  const suffix = file.name.split(".").pop().toLowerCase();
  const limit = about.uploadLimit;
  if (!about.uploadTypes.includes(suffix)) {
    notify(`${file.name}: not one of ${about.uploadTypes.join(", ")}`, true);
  } else if (file.size > limit) {
    notify(`${file.name}: ${(file.size / 1e6).toFixed(1)} MB; the limit is ${limit / 1e6} MB`, true);
  } else {
    notify(`reading ${file.name}`);
    sentFile = file;
    connection.sendFile(file);
  }
}

// What comes ----------------------------------------------------------------------------------

function hello(message) {
  about = message;
  byId("about").textContent =
    `${message.about.model}, ${message.resolution}\u00b3 voxels. Objects: ${message.about.objects}.`;
  const groups = new Map();
  message.objects.forEach((object, index) => {
    if (!groups.has(object.class)) {
      const group = document.createElement("optgroup");
      group.label = object.class;
      groups.set(object.class, group);
      byId("objects").append(group);
    }
    const named = object.name.startsWith(object.class);
    groups.get(object.class).append(
      new Option(named ? object.name : `${object.class} ${object.name}`, index));
  });
  want.amounts = message.shares.map(() => 0);
  message.shares.forEach((share, index) => addSlider(byId("amounts"), {
    id: `amount-${index}`, name: String(index + 1), title: `${(100 * share).toFixed(0)} % of the variance`,
    least: -3, most: 3, step: 0.1, unit: "", change: (value, time) => { want.amounts[index] = value; ask(time); },
  }));
  message.exportFormats.forEach((format) => {
    const button = document.createElement("button");
    button.textContent = format.toUpperCase();
    button.addEventListener("click", () =>
      connection.send("export", { parts: byId("parts").value.split(" "), format }));
    byId("exports").append(button);
  });
  byId("file").accept = message.uploadTypes.map((type) => `.${type}`).join(",");
  if (!message.turns) document.querySelector("input[value=decode]").disabled = true;
  turn(quaternionOf(START));
  setMode("infer");
  openObject(Math.max(0, message.objects.findIndex((object) => object.class === "chair")));
}

function opened({ name, index, arrays }) {
  notify();
  document.body.dataset.object = name;
  if (index === null) {
    ownFile = sentFile; // and not before it was found to be an object
    byId("objects").querySelector(`[value=${OWN}]`)?.remove();
    byId("objects").prepend(new Option(name, OWN));
  }
  byId("objects").value = index ?? OWN;
  setSurface("input", arrays);
  if (want.mode === "decode") setMode("infer");
  else ask();
}

function shown({ arrays, inference, mode, sequence: number }) {
  const began = asked.get(number);
  for (const old of [...asked.keys()].filter((key) => key <= number)) asked.delete(old);
  if (mode !== want.mode) return; // it was switched meanwhile; the answer to that is under way
  for (const part of ["canonical", "decoded"]) setSurface(part, arrays);
  if (inference) showInference(inference);
  else {
    say("canonical", "Decoded", "unturned");
    say("decoded", "Decoded and turned", "inside the decoder");
  }
  stage.draw(() => { if (began) showLatency(performance.now() - began); });
  document.body.dataset.shown = number;
}

function showInference({ moved, overlap, iou, hypotheses }) {
  const shifted = want.amounts.some((amount) => amount !== 0);
  say("canonical", "Canonical form", `moved ${moved.toFixed(1)}\u00b0, overlap ${overlap.toFixed(2)}`);
  say("decoded", shifted ? "Another shape" : "Reconstruction",
    `${shifted ? "at the inferred pose" : "from shape and pose"}, IoU ${iou.toFixed(2)}`);
  say("input", "Input", "drag to turn it");
  labels.canonical.title = "since the object was unturned: the angle, and the IoU";
  document.body.dataset.moved = moved;
  byId("hypotheses").replaceChildren(...hypotheses.map(([weight, angle]) => {
    const [row, bar] = [document.createElement("li"), document.createElement("i")];
    bar.style.setProperty("--weight", weight);
    row.append(bar, span(`${(100 * weight).toFixed(1)} %`), span(`${angle.toFixed(0)}\u00b0`));
    return row;
  }));
}

function file({ name, arrays }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([arrays.content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function error({ message }) {
  notify(message, true);
}

// Details -------------------------------------------------------------------------------------

function setSurface(part, arrays) {
  stage.setSurface(part, ...["vertices", "faces", "normals", "light"].map((k) => arrays[`${part}/${k}`]));
  stage.draw();
}

function span(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

function say(part, title, text) {
  labels[part].firstChild.textContent = title;
  labels[part].lastChild.textContent = text;
}

function showLatency(milliseconds) {
  latencies.push(milliseconds);
  if (latencies.length > 100) latencies.shift();
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))].toFixed(0);
  byId("latency").textContent = `from drag to picture ${at(0.5)} ms (median), ${at(0.95)} ms (95 %)`;
}

let noticeTimer;
function notify(text = "", isError = false) {
  if (closed) [text, isError] = [closed, true]; // nothing else matters then
  const notice = byId("notice");
  notice.textContent = text;
  notice.classList.toggle("plain", !isError);
  notice.hidden = !text;
  clearTimeout(noticeTimer);
  if (isError && !closed) noticeTimer = setTimeout(() => notify(), 9000);
}

function addSlider(parent, { id, name, title = "", least, most, step, unit, change }) {
  const row = document.createElement("div");
  row.className = "slider";
  row.title = title;
  const [label, input, output] = ["label", "input", "output"].map((tag) => document.createElement(tag));
  label.htmlFor = input.id = id;
  label.textContent = name;
  Object.assign(input, { type: "range", min: least, max: most, step, value: 0 });
  input.dataset.unit = unit;
  input.addEventListener("input", (event) => {
    setSlider(input, Number(input.value));
    change(Number(input.value), event.timeStamp);
  });
  row.append(label, input, output);
  parent.append(row);
  setSlider(input, 0);
}

function setSlider(input, value) {
  input.value = value;
  const digits = input.step.includes(".") ? 1 : 0;
  input.nextSibling.textContent = value.toFixed(digits).replace("-", "\u2212") + input.dataset.unit;
}

AXES.forEach((axis) => addSlider(byId("angles"), {
  id: `angle-${axis}`, name: axis, least: -180, most: 180, step: 1, unit: "\u00b0",
  change: (_, time) => {
    want.quaternion = quaternionOf(AXES.map((a) => Number(byId(`angle-${a}`).value)));
    stage.setRotation(want.quaternion);
    ask(time);
  },
}));

byId("turn-random").addEventListener("click", (event) =>
  turn(new Quaternion().random().toArray(), event.timeStamp));
byId("turn-reset").addEventListener("click", (event) => turn([0, 0, 0, 1], event.timeStamp));
byId("shape-reset").addEventListener("click", (event) => {
  want.amounts.fill(0);
  want.amounts.forEach((_, index) => setSlider(byId(`amount-${index}`), 0));
  ask(event.timeStamp);
});
byId("sample").addEventListener("click", () =>
  connection.send("sample", { seed: Math.floor(Math.random() * 2 ** 32) }));
byId("upright").addEventListener("change", (event) => {
  want.upright = event.target.checked;
  ask(event.timeStamp);
});
for (const input of document.querySelectorAll("input[name=mode]")) {
  input.addEventListener("change", () => setMode(input.value));
}
byId("objects").addEventListener("change", (event) => openObject(event.target.value));
byId("any").addEventListener("click", () =>
  openObject(Math.floor(Math.random() * about.objects.length)));
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  openFile(event.target.files[0]);
  event.target.value = "";
});

window.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").hidden = false;
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").hidden = true;
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").hidden = true;
  openFile(event.dataTransfer.files[0]);
});
