// The tables of the live page, out of the `tables` event (loadtest/web/board.py).  Text reaches the screen as text, never as markup.

const grouped = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

// Three digits, or all before the point.
export function digits(value) {
  if (value == null) return "–";
  return Math.abs(value) >= 100 || Number.isInteger(value) ? grouped.format(value) : String(+value.toPrecision(3));
}

// A number and its unit, apart, since figures show the unit smaller.
export function milliseconds(value) {
  if (value == null) return ["–", ""];
  return value >= 1000 ? [digits(value / 1000), "s"] : [digits(value), "ms"];
}

export const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (part) => String(part).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

const ms = (value) => milliseconds(value).join(" ");
const percent = (share) => `${digits(share * 100)} %`;
const bytes = (count) => (count >= 2 ** 30 ? `${digits(count / 2 ** 30)} GiB` : count >= 2 ** 20 ? `${digits(count / 2 ** 20)} MiB` : `${digits(count)} B`);

export function element(name, text = "", more = {}, ...children) {
  const made = Object.assign(document.createElement(name), more);
  if (text !== "") made.textContent = text;
  made.append(...children);
  return made;
}

const nothing = (text) => element("p", text, {className: "empty"});

// A column: [head, what a row has there, its look or what that follows from].  The first column names the row; `text` is
// read from the left.
function table(caption, columns, rows) {
  const looks = (look, row) => (typeof look !== "function" ? look ?? "" : row === undefined ? "" : look(row));
  const head = columns.map(([text, , look]) => element("th", text, {scope: "col", className: looks(look, rows[0]).startsWith("text") ? "text" : ""}));
  const body = rows.map((row) => element("tr", "", {}, ...columns.map(([, value, look], place) => {
    const [text, className] = [String(value(row)), looks(look, row)];
    return place ? element("td", text, {className}) : element("th", text, {scope: "row", className});
  })));
  const made = element("table", "", {}, element("caption", caption), element("thead", "", {}, element("tr", "", {}, ...head)), element("tbody", "", {}, ...body));
  // What can be scrolled must be reached with keys, and must have a name.
  const frame = element("div", "", {className: columns.length > 3 ? "scroll" : "scroll narrow", tabIndex: 0}, made);
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", caption);
  return frame;
}

export function statistics({rows, counts}, words) {
  if (!rows.length) return [nothing("Nothing has been measured yet.")];
  const at = (key) => (row) => ms(row.percentiles_ms[key]);
  return [
    table("Latencies and rates, over the whole run", [
      ["Name", (row) => row.name, "text"], ["Type", (row) => row.kind, "text"],
      ["Requests", (row) => digits(row.count + row.failures)],
      ["Fails", (row) => digits(row.failures), (row) => (row.failures ? "bad" : "")],
      ["Median", at("50")], ["95 %", at("95")], ["99 %", at("99")], ["99.9 %", at("99.9")],
      ["Average", (row) => ms(row.mean_ms)], ["Min", (row) => ms(row.min_ms)], ["Max", (row) => ms(row.max_ms)],
      ["Bytes", (row) => digits(row.mean_bytes)], ["a second", (row) => digits(row.per_s)], ["Fails a second", (row) => digits(row.failures_per_s)],
    ], rows),
    table("Counts, over the whole run", [
      ["What", ([name]) => name, "text"],
      ["How many", ([name, count]) => digits(count), ([name]) => (words.violations.includes(name) ? "bad" : "")],
      ["That is", ([name]) => words.counts[name] ?? "", "text wide"],
    ], Object.keys(words.counts).filter((name) => counts[name]).map((name) => [name, counts[name]])),
  ];
}

export function failures({rows, refusals}) {
  const errors = rows.flatMap((row) => Object.entries(row.errors).map(([error, count]) => ({row, error, count})));
  const made = [];
  if (errors.length) {
    made.push(table("What went wrong", [
      ["Name", ({row}) => row.name, "text"], ["Type", ({row}) => row.kind, "text"],
      ["How often", ({count}) => digits(count), "bad"], ["What", ({error}) => error, "text wide"],
    ], errors.sort((one, other) => other.count - one.count)));
  }
  if (Object.keys(refusals).length) {
    made.push(table("Connections that failed or ended, by code", [
      ["Code", ([code]) => code, "text"], ["How often", ([, count]) => digits(count)],
    ], Object.entries(refusals).sort(([, one], [, other]) => other - one)));
  }
  return made.length ? made : [nothing("Nothing has failed.")];
}

export function findings({findings: found, counts, thresholds}) {
  const made = found.length
    ? [table("What must not happen, and where it did", [
        ["What", (each) => each.kind, "text"], ["Room", (each) => each.room, "text"], ["Offset", (each) => each.offset || "–"],
        ["How many", (each) => digits(each.count), "bad"], ["Seen by", (each) => each.client, "text"], ["That is", (each) => each.detail, "text wide"],
      ], found)]
    : [nothing(`Nothing was lost, doubled, out of order, of another room or altered in ${digits(counts.audited ?? 0)} events that were checked.`)];
  if (thresholds.length) {
    made.push(table("What was asked for (--fail-if)", [
      ["Fails if", (each) => each.text, "text"], ["Now", (each) => (each.figure == null ? "not measured" : `${digits(each.figure)} ${each.unit}`)],
      ["So", (each) => (each.failed ? "missed" : "met"), (each) => (each.failed ? "bad" : "good")],
    ], thresholds));
  }
  return made;
}

export function exceptions({exceptions: raised}) {
  if (!raised.length) return [nothing("Nothing was raised by the scenario's own code.")];
  return raised.map(({count, message, traceback, workers}) => element("details", "", {className: "raised"},
    element("summary", `${digits(count)} times: ${message}`), element("pre", traceback), element("p", `on ${workers.join(", ")}`)));
}

export function workers({workers: all, server, users_by_class: classes, clock_error_ms: error}) {
  const made = [all.length ? table("Workers: who makes the load", [
    ["Name", (each) => each.name, "text"], ["State", (each) => each.state, (each) => (each.state === "dead" ? "text bad" : "text")],
    ["Users", (each) => digits(each.users)], ["CPU", (each) => percent(each.cpu_share), (each) => (each.cpu_share > 0.9 ? "warn" : "")],
    ["Memory", (each) => bytes(each.rss_bytes)], ["Lag of its loop", (each) => ms(each.lag_ms)],
  ], all) : nothing("No worker has told anything yet.")];
  const living = Object.entries(classes);
  if (living.length) made.push(table("Users of each class", [["Class", ([name]) => name, "text"], ["Living", ([, count]) => digits(count)]], living));
  if (server.length) {
    made.push(table("Server: what it costs", [
      ["Process", (each) => each.name, "text"], ["CPU", (each) => percent(each.cpu_share)], ["Memory", (each) => bytes(each.rss_bytes)],
    ], server));
  }
  if (error) made.push(nothing(`Latencies between machines are known to within ${ms(error)}: that is how well their clocks are.`));
  return made;
}
