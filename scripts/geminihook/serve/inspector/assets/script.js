"use strict";

const at = (id) => document.getElementById(id);
const rows = at("rows");
const kept = Number(document.body.dataset.kept); // the server's limit of rows
let opened = 0; // the id of the open delivery; 0 if none is open

// The list of deliveries.

function element(name, text, className) {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

function rowOf(d) {
  const tr = document.createElement("tr");
  tr.tabIndex = 0;
  tr.dataset.id = d.id;
  tr.dataset.outcome = d.outcome;
  tr.dataset.type = d.type || "no type";
  const outcome = document.createElement("td");
  outcome.append(element("span", `${d.status} ${d.outcome}`, `badge ${d.tone}`));
  const claimed = d.genuine ? "" : "claimed";
  const type = element("td", d.type || "–", claimed);
  type.title = claimed ? `${d.type}: from the body, not verified` : d.type;
  tr.append(element("td", d.time), outcome, type, element("td", d.endpoint), element("td", d.scheme || "–", claimed), element("td", d.latency, "number"));
  return tr;
}

function add(d) {
  const tr = rowOf(d);
  const older = [...rows.children].find((other) => Number(other.dataset.id) < d.id); // usually the first row
  rows.insertBefore(tr, older || null);
  choice("by-outcome", tr.dataset.outcome);
  choice("by-type", tr.dataset.type);
  show(tr);
  if (rows.children.length > kept) rows.lastElementChild.remove();
  return tr;
}

// choice adds a value to a filter, unless the filter has it.
function choice(id, value) {
  const select = at(id);
  if ([...select.options].some((o) => o.value === value)) return;
  const option = element("option", value);
  option.value = value;
  const after = [...select.options].slice(1).find((o) => o.value > value);
  select.insertBefore(option, after || null);
}

function show(tr) {
  const outcome = at("by-outcome").value;
  const type = at("by-type").value;
  tr.hidden = Boolean((outcome && outcome !== tr.dataset.outcome) || (type && type !== tr.dataset.type));
}

function summarize() {
  const shown = rows.querySelectorAll("tr:not([hidden])").length;
  const all = rows.children.length;
  at("shown").textContent = shown === all ? "" : `${shown} of ${all} shown`;
  at("empty").hidden = all > 0;
  mark();
}

function mark() {
  for (const tr of rows.children) tr.setAttribute("aria-current", String(Number(tr.dataset.id) === opened));
}

function count(c) {
  const n = { ...c, ...c.tones };
  for (const e of document.querySelectorAll("[data-count]")) e.textContent = n[e.dataset.count] || 0;
}

// Server-sent events.

function listen() {
  const events = new EventSource("/inspector/events");
  const state = (name, text) => {
    at("link").dataset.state = name;
    at("link").textContent = text;
  };
  events.onopen = () => state("live", "live");
  events.onerror = () => {
    state("off", "no connection to serve");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
  events.addEventListener("list", (e) => {
    const { rows: all, counts } = JSON.parse(e.data);
    rows.replaceChildren();
    all.forEach(add);
    count(counts);
    summarize();
  });
  events.addEventListener("row", (e) => {
    const { row, counts } = JSON.parse(e.data);
    count(counts);
    if (!row) return;
    const tr = add(row);
    tr.classList.add("new");
    setTimeout(() => tr.classList.remove("new"), 1200);
    summarize();
  });
}

for (const id of ["by-outcome", "by-type"]) {
  at(id).addEventListener("change", () => {
    for (const tr of rows.children) show(tr);
    summarize();
  });
}

// The open delivery.

async function openDelivery(id) {
  const answer = await fetch(`/inspector/deliveries/${id}`);
  const detail = at("detail");
  const text = await answer.text();
  if (answer.ok) detail.innerHTML = text; // html/template has escaped the delivery's contents
  else detail.textContent = text;
  opened = id;
  detail.hidden = false;
  detail.scrollTop = 0;
  document.querySelector("main").classList.add("open");
  detail.focus({ preventScroll: window.innerWidth > 960 });
  mark();
}

function closeDelivery() {
  const was = rows.querySelector(`[data-id="${opened}"]`);
  opened = 0;
  at("detail").hidden = true;
  document.querySelector("main").classList.remove("open");
  mark();
  if (was) was.focus();
}

rows.addEventListener("click", (e) => {
  const tr = e.target.closest("tr");
  if (tr) openDelivery(Number(tr.dataset.id));
});

at("detail").addEventListener("click", (e) => {
  const button = e.target.closest("button");
  if (!button) return;
  if ("close" in button.dataset) closeDelivery();
  if (button.dataset.copy) copy(button);
  if (button.dataset.again) post(button, `/inspector/deliveries/${button.dataset.id}/again`, { anew: button.dataset.again === "anew" });
});

async function copy(button) {
  const source = at(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.value);
  } catch { // no clipboard API over plain http, except on loopback
    source.hidden = false;
    source.select();
    document.execCommand("copy");
    source.hidden = true;
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

// Keys.

function neighbour(tr, way) {
  do tr = way > 0 ? tr.nextElementSibling : tr.previousElementSibling;
  while (tr && tr.hidden);
  return tr;
}

document.addEventListener("keydown", (e) => {
  if (e.key === "Escape" && opened) return closeDelivery();
  const tr = document.activeElement.closest("#rows tr");
  const way = { ArrowDown: 1, ArrowUp: -1 }[e.key];
  if (e.key === "Enter" && tr) openDelivery(Number(tr.dataset.id));
  if (!way || document.activeElement.closest("select, #detail")) return;
  const next = tr ? neighbour(tr, way) : rows.querySelector("tr:not([hidden])");
  if (!next) return;
  e.preventDefault();
  next.focus();
  if (opened) openDelivery(Number(next.dataset.id)).then(() => next.focus());
});

// Samples.

async function post(button, url, body) {
  button.disabled = true;
  try {
    const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    at("said").textContent = answer.ok ? "" : await answer.text();
  } catch {
    at("said").textContent = "No connection to serve.";
  }
  button.disabled = false;
}

for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => post(button, "/inspector/samples", { name: button.dataset.sample, type: at("type").value, scheme: at("scheme").value }));
}

// Jobs in the stand-in for the Gemini API.

function jobRow(j) {
  const tr = document.createElement("tr");
  tr.dataset.name = j.name;
  const state = document.createElement("td");
  state.append(element("span", j.state, `badge ${j.tone}`));
  const name = element("td", j.name);
  name.title = j.name;
  const last = document.createElement("td");
  if (j.can_lose) {
    const button = element("button", "Lose its delivery");
    button.dataset.lose = j.name;
    last.append(button);
  }
  tr.append(element("td", j.started), state, name, element("td", j.event || "–"), element("td", j.sent), last);
  return tr;
}

let shownJobs = ""; // the latest answer, to redraw only after a change

async function showJobs() {
  const answer = await fetch("/inspector/jobs");
  const text = await answer.text();
  if (!answer.ok || text === shownJobs) return;
  shownJobs = text;
  const { webhook, pass, jobs } = JSON.parse(text);
  at("pass").textContent = pass;
  at("webhook-state").textContent = webhook;
  at("webhook").hidden = webhook === "not registered";
  at("webhook").textContent = webhook === "enabled" ? "Disable the webhook" : "Enable the webhook";
  at("webhook").dataset.enable = String(webhook !== "enabled");
  at("job-list").hidden = jobs.length === 0;
  at("job-rows").replaceChildren(...jobs.map(jobRow));
}

at("jobs").addEventListener("click", async (e) => {
  const button = e.target.closest("button");
  if (!button) return;
  if (button.dataset.job) await post(button, "/inspector/jobs", { kind: button.dataset.job, end: at("end").value });
  if (button.dataset.lose) await post(button, "/inspector/jobs/lose", { name: button.dataset.lose });
  if (button.id === "reconcile") await post(button, "/inspector/reconcile", {});
  if (button.dataset.enable) await post(button, "/inspector/webhook", { enabled: button.dataset.enable === "true" });
  watchJobs();
});

let nextJobs = 0;

// watchJobs shows the jobs now, and every second while the page is visible.
async function watchJobs() {
  clearTimeout(nextJobs);
  if (!document.hidden) await showJobs().catch(() => {}); // listen shows a lost connection
  clearTimeout(nextJobs);
  nextJobs = setTimeout(watchJobs, 1000);
}

listen();
watchJobs();
