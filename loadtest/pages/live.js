// The live page: one stream of events becomes figures, charts and tables; a form and a button steer.
import {clock, digits, element, exceptions, failures, findings, milliseconds, statistics, workers} from "./live_tables.js";

const at = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=token]").content;
const words = await (await fetch("/words.json")).json();
const canDraw = typeof uPlot !== "undefined";
const TABLES = {statistics, failures, findings, exceptions, workers};
let charts, standing, tables, values = {}, peak = 0, edited = false;

// --- figures ---------------------------------------------------------------------------------------------

function figure(name, text, unit = "") {
  at(`figure-${name}`).replaceChildren(text, ...(unit ? [element("small", unit)] : []));
}

function showFigures() {
  if (values["users.living"] === undefined) return; // Before the first second there is nothing to tell.
  const isOver = standing?.phase === "ended" && tables;
  (isOver ? showWhole : showSecond)();
  figure("violations", digits(values.violations ?? 0));
  at("more-violations").textContent = tables ? `of ${digits(tables.counts.audited ?? 0)} that were checked` : "";
  at("violations").classList.toggle("found", values.violations > 0);
  at("violations").classList.toggle("clean", values.violations === 0);
  at("figures").setAttribute("aria-label", isOver ? "The whole run" : "Now");
}

function showSecond() {
  const [p99, unit] = milliseconds(values["latency.deliver.p99"]);
  const [p50, max] = ["p50", "max"].map((part) => milliseconds(values[`latency.deliver.${part}`]).join(" "));
  figure("users", digits(values["users.living"]));
  figure("deliveries", digits(Math.round(values["per_s.deliveries"] ?? 0)));
  figure("p99", p99, unit);
  at("more-users").textContent = `of ${digits(values["users.wanted"] ?? 0)} wanted, ${digits(values["users.connected"] ?? 0)} connected`;
  at("more-deliveries").textContent = `${digits(values["per_s.publishes"] ?? 0)} published a second`;
  at("more-p99").textContent = p99 === "–" ? "nothing was delivered in this second" : `median ${p50}, worst ${max}`;
  document.title = `${digits(values["users.living"])} users, p99 ${p99} ${unit}: ${standing?.scenario ?? "load test"}`;
}

// When it is over the last second tells nothing: the whole run does.
function showWhole() {
  const {counts, rows, seconds, verdict} = tables;
  const took = rows.find((row) => row.name === "deliver");
  const [p99, unit] = milliseconds(took?.percentiles_ms["99"]);
  figure("users", digits(peak));
  figure("deliveries", digits(Math.round((counts.deliveries ?? 0) / Math.max(seconds, 1))));
  figure("p99", p99, unit);
  at("more-users").textContent = "at most, in the whole run";
  at("more-deliveries").textContent = `on average, ${digits(counts.deliveries ?? 0)} in the whole run`;
  at("more-p99").textContent = took ? `median ${milliseconds(took.percentiles_ms["50"]).join(" ")}, worst ${milliseconds(took.max_ms).join(" ")}, in the whole run` : "nothing was delivered";
  document.title = `${verdict.word}: ${standing.scenario}`;
}

// --- charts ------------------------------------------------------------------------------------------------

function showPast(timeline) {
  peak = Math.max(0, ...(timeline.columns["users.living"] ?? []));
  values = Object.fromEntries(Object.entries(timeline.columns).map(([name, column]) => [name, column.at(-1) ?? undefined]));
  if (charts) charts.replace(timeline);
  else if (canDraw) charts = ParvisCharts(at("frames"), words.charts, timeline);
  showInvitation();
  showFigures();
}

function showMoment(moment) {
  values = moment.values;
  peak = Math.max(peak, values["users.living"]);
  charts?.append(moment);
  showInvitation();
  showFigures();
}

function showInvitation() {
  const hasBegun = values["users.living"] !== undefined;
  const canBegin = standing?.phase === "ready" && !standing.shape;
  at("no-charts").hidden = canDraw && hasBegun;
  at("no-charts").textContent = !canDraw ? "The charts need uPlot, which is not here yet; run: make charts. Figures and tables do without."
    : canBegin ? "Choose how many users there shall be, and how many of them come a second; then press Start."
    : "Charts begin with the first second of the run.";
}

// --- how it stands --------------------------------------------------------------------------------------------

const PHASES = {
  waiting: "waiting for workers", ready: "ready", spawning: "spawning", running: "running", stopping: "stopping", ended: "ended",
};

function showStanding(now) {
  standing = now;
  document.body.dataset.phase = now.phase;
  at("scenario").textContent = now.scenario;
  at("hosts").textContent = now.hosts.join(" ");
  at("phase").textContent = PHASES[now.phase];
  at("sentence").textContent = now.sentence;
  at("clock").textContent = clock(now.seconds) + (now.seconds_planned ? ` of ${clock(now.seconds_planned)}` : "");
  at("shape").hidden = !now.shape;
  at("shape").textContent = now.shape ? `The shape ${now.shape} decides how many users there are and how fast they come.` : "";
  const isOver = now.phase === "stopping" || now.phase === "ended";
  const canStart = now.phase === "ready";
  const canEdit = (now.phase === "spawning" || now.phase === "running") && !now.shape;
  for (const name of ["users", "spawn"]) at(name).disabled = Boolean(now.shape) || isOver;
  at("apply").textContent = canStart || now.phase === "waiting" ? "Start" : "Apply";
  at("apply").disabled = !(canStart || canEdit);
  at("stop").disabled = !(now.phase === "spawning" || now.phase === "running");
  // What somebody is about to send is theirs until it is sent.
  if (!edited) [at("users").value, at("spawn").value] = [now.users, now.spawn_per_s];
  showInvitation();
  showFigures();
  showVerdict();
}

function showVerdict() {
  const verdict = tables?.verdict;
  if (!verdict || !(standing?.seconds > 0)) return;
  const isFinal = standing.phase === "ended";
  const text = verdict.reasons.join(" ") || (isFinal ? "Everything that was asked for was met." : "Nothing speaks against this run.");
  if (at("verdict").dataset.said === verdict.word + isFinal + text) return; // A reader of the screen hears it when it changes.
  at("verdict").dataset.said = verdict.word + isFinal + text;
  at("verdict").dataset.word = verdict.word;
  at("verdict").replaceChildren(element("strong", isFinal ? verdict.word : `${verdict.word} so far`), text);
}

// --- tables, log, data ---------------------------------------------------------------------------------------------

function showTables(now) {
  tables = now;
  const failed = now.rows.reduce((sum, row) => sum + row.failures, 0);
  const found = now.findings.reduce((sum, each) => sum + each.count, 0);
  const raised = now.exceptions.reduce((sum, each) => sum + each.count, 0);
  for (const [name, count, isBad] of [["failures", failed, failed], ["findings", found, found], ["exceptions", raised, raised], ["workers", now.workers.length, false]]) {
    const badge = at(`tab-${name}`).querySelector(".count");
    badge.textContent = count ? digits(count) : "";
    badge.classList.toggle("bad", Boolean(isBad));
  }
  showTable();
  showFigures();
  showVerdict();
}

function showTable() {
  const open = document.querySelector("[role=tab][aria-selected=true]").getAttribute("aria-controls");
  if (!tables || !TABLES[open]) return;
  const opened = [...at(open).querySelectorAll("details")].map((each) => each.open);
  const scrolled = [...at(open).querySelectorAll(".scroll")].map((frame) => frame.scrollLeft);
  const hadFocus = [...at(open).querySelectorAll(".scroll")].indexOf(document.activeElement);
  at(open).replaceChildren(...TABLES[open](tables, words));
  at(open).querySelectorAll(".scroll").forEach((frame, place) => { frame.scrollLeft = scrolled[place] ?? 0; });
  at(open).querySelectorAll("details").forEach((each, place) => { each.open = opened[place] ?? false; });
  at(open).querySelectorAll(".scroll")[hadFocus]?.focus({preventScroll: true});
}

function showLog(lines) {
  at("lines").replaceChildren(...lines.map((line) => {
    const time = new Date(line.at);
    return element("li", "", {className: line.level}, element("time", time.toLocaleTimeString(), {dateTime: line.at}), line.text);
  }));
}

at("downloads").append(...words.downloads.map(({name, about}) =>
  element("li", "", {}, element("a", name, {href: `/data/${name}`, download: name}), element("p", about))));

// --- tabs: arrows move between them, as everywhere ---------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];
function openTab(tab) {
  for (const each of tabs) {
    each.setAttribute("aria-selected", String(each === tab));
    each.tabIndex = each === tab ? 0 : -1;
    at(each.getAttribute("aria-controls")).hidden = each !== tab;
  }
  tab.scrollIntoView({block: "nearest", inline: "center"});
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  showTable();
}
tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    const to = {ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs[(to + tabs.length) % tabs.length];
    next.focus();
    openTab(next);
  });
});
openTab(tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash) ?? tabs[0]);

// --- steering -----------------------------------------------------------------------------------------------------------

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

async function steer(word, wish) {
  try {
    const answer = await fetch(`/${word}`, {method: "POST", headers: {"X-Parvis-Token": token}, body: wish && JSON.stringify(wish)});
    trouble(answer.ok ? "" : await answer.text());
    return answer.ok;
  } catch {
    trouble("The load test does not answer: it may have ended.");
    return false;
  }
}

for (const name of ["users", "spawn"]) at(name).addEventListener("input", () => { edited = true; });
at("load").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wish = {users: Number(at("users").value), spawn_per_s: Number(at("spawn").value)};
  if (await steer(standing.phase === "ready" ? "start" : "edit", wish)) edited = false;
});
at("stop").addEventListener("click", () => steer("stop"));

// --- the stream; a browser takes it up again by itself ----------------------------------------------------------------------

const SHOWN = {past: showPast, moment: showMoment, standing: showStanding, tables: showTables, log: showLog};
const HIDDEN_MS = 60_000;
let stream, leaving;

function watch() {
  stream = new EventSource("/events");
  for (const [kind, show] of Object.entries(SHOWN)) stream.addEventListener(kind, (event) => show(JSON.parse(event.data)));
  stream.addEventListener("open", () => trouble(""));
  stream.addEventListener("error", () => {
    if (standing?.phase === "ended") trouble("The load test has ended, and its program, too: what is shown is the end.");
    else trouble("The load test does not answer: what is shown is the last that it said.");
  });
}

// A browser keeps six connections to a server for all its windows: one that nobody sees gives its own back.
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.hidden) leaving = setTimeout(() => stream.close(), HIDDEN_MS);
  else if (stream.readyState === EventSource.CLOSED) watch();
});
watch();
