// Draws a run's charts with uPlot, for the report and for the live page.
//
//   const charts = ParvisCharts(host, descriptions, timeline)   frames are made inside `host`
//   charts.append({at: 12, values: {"users.living": 40}, marks: []})   one more point of each column
//   charts.replace(timeline)                                     all of it anew
//
// The data are those of loadtest/reports/timeline.py: a timeline {at, every_s, columns, marks}, descriptions {id, title,
// unit, lines, log, about}.  A description without any column has no frame until one appears.  In what is
// appended, a rate (`per_s.`) that is absent was 0, any other column was not measured.  Marks {at_s, seconds, kind,
// text} are what was done on purpose.  Where `at` is no time but shares of all samples (`over: "share"`), it
// counts nines: 1 is 90 %, 2 is 99 %.

const ParvisCharts = (() => {
  "use strict";
  const HEIGHT = 210;
  const POINTS_MAX = 3600;
  const TONES = 8;
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

  // Of what is counted there are no halves.
  const WHOLE = Array.from({length: 9}, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

  // --- numbers for people ---------------------------------------------------------------------------------

  const grouped = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
  const digits = (value) =>
    Math.abs(value) >= 100 || Number.isInteger(value) ? grouped.format(value) : String(+value.toPrecision(3));

  function amount(value, unit) {
    if (value == null) return "–";
    if (unit === "ms") return value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`;
    if (unit === "MiB") return value >= 1024 ? `${digits(value / 1024)} GiB` : `${digits(value)} MiB`;
    return unit === "%" ? `${digits(value)} %` : unit ? `${digits(value)} ${unit}` : digits(value);
  }

  function onAxis(value, unit) {
    if (value == null) return "";
    if (unit === "ms" || unit === "MiB" || unit === "%") return amount(value, unit);
    if (Math.abs(value) >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
    return Math.abs(value) >= 1e4 ? `${+(value / 1e3).toPrecision(3)} k` : digits(value);
  }

  function clock(seconds) {
    const whole = Math.round(seconds);
    const parts = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
    const [h, m, s] = parts.map((part) => String(part).padStart(2, "0"));
    return parts[0] ? `${parts[0]}:${m}:${s}` : `${parts[1]}:${s}`;
  }

  // --- lines ------------------------------------------------------------------------------------------------

  function colour(tone) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${tone}`).trim();
  }

  // The lines of a description that have a column: [{column, label, tone, dash, fill}].
  function linesOf(description, columns) {
    const lines = [];
    let free = 0;
    for (const line of description.lines) {
      const [before, after] = line.column.split("*");
      for (const column of Object.keys(columns)) {
        const fits = after === undefined ? column === before
          : column.length > before.length + after.length && column.startsWith(before) && column.endsWith(after);
        if (!fits) continue;
        const star = after === undefined ? "" : column.slice(before.length, column.length - after.length);
        const tone = line.tone || `tone-${(free++ % TONES) + 1}`;
        lines.push({column, label: line.label.replace("*", () => star), tone, dash: line.dash, fill: line.fill});
      }
    }
    return lines;
  }

  // Points between two gaps would be drawn as nothing; they are shown as dots.
  function lonely(plot, index, show, gaps) {
    const values = plot.data[index];
    const found = [];
    for (let i = 0; i < values.length; i++)
      if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
    return found;
  }

  function peak(values) {
    return values.reduce((most, value) => (value != null && (most == null || value > most) ? value : most), null);
  }

  function seriesOf(line, unit) {
    return {
      label: line.label,
      stroke: () => colour(line.tone),
      fill: line.fill ? () => `color-mix(in srgb, ${colour(line.tone)} 13%, transparent)` : undefined,
      width: line.tone === "max" || line.dash ? 1.25 : 1.75,
      dash: line.dash ? [4, 4] : undefined,
      points: {show: false, filter: lonely, size: 4},
      // Without a pointer on the chart, which paper never has, the legend says how high a line goes.
      value: (plot, value, index, at) => (at == null ? `≤ ${amount(peak(plot.data[index]), unit)}` : amount(value, unit)),
    };
  }

  function axis(more, lines = {}) {
    const rule = () => colour("grid");
    return {
      stroke: () => colour("faint"), font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif",
      grid: {stroke: rule, width: 1, ...lines}, ticks: {stroke: rule, width: 1, size: 4, ...lines}, gap: 4, ...lines, ...more,
    };
  }

  // A whole decade around what there is, so that a calm run does not look like a storm.
  function decades(plot, low, high) {
    if (low == null || high == null) return [1, 10];
    return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.0001))];
  }

  function fromZero(plot, low, high) {
    return [0, high > 0 ? high * 1.08 : 1];
  }

  // Lines and words at whole decades only.
  function powers(plot, splits) {
    return splits.map((value) => (Number.isInteger(+Math.log10(value).toFixed(6)) ? value : null));
  }

  // What was done on purpose: a line where it began, a veil as long as it lasted, its words where there is room.
  function drawMarks(plot, marks) {
    const {ctx, bbox} = plot;
    const ratio = devicePixelRatio;
    let free = -Infinity;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const {at_s, seconds, text} of marks) {
      const x = plot.valToPos(at_s, "x", true);
      ctx.fillStyle = `color-mix(in srgb, ${colour("warn")} 10%, transparent)`;
      ctx.fillRect(x, bbox.top, plot.valToPos(at_s + (seconds || 0), "x", true) - x, bbox.height);
      ctx.fillStyle = colour("warn");
      ctx.fillRect(x - ratio / 2, bbox.top, ratio, bbox.height);
      const wide = ctx.measureText(text).width;
      const left = Math.min(x + 4 * ratio, bbox.left + bbox.width - wide);
      if (left < free) continue;
      ctx.fillText(text, left, bbox.top + 2 * ratio);
      free = left + wide + 8 * ratio;
    }
    ctx.restore();
  }

  function nines(value) {
    return value == null ? "" : value === 0 ? "0 %" : `${+(100 - 100 / 10 ** value).toPrecision(6)} %`;
  }

  function optionsOf(description, lines, width, marks) {
    const isOverTime = description.over !== "share";
    const where = isOverTime ? clock : nines;
    return {
      width, height: HEIGHT,
      padding: [8, isOverTime ? 22 : 34, 0, 0],
      cursor: {...(isOverTime ? {sync: {key: "parvis"}} : {}), y: false, drag: {x: true, y: false}, points: {size: 6}},
      hooks: {draw: [(plot) => isOverTime && drawMarks(plot, marks())]},
      scales: {
        x: {time: false},
        y: description.log ? {distr: 3, range: decades} : {range: fromZero},
      },
      axes: [
        axis({size: 26, incrs: isOverTime ? STEPS : [1], space: 60, values: (plot, splits) => splits.map(where)}),
        axis(
          {
            size: 58, space: 34, values: (plot, splits) => splits.map((value) => onAxis(value, description.unit)),
            ...(description.unit ? {} : {incrs: WHOLE}),
          },
          description.log ? {filter: powers} : {},
        ),
      ],
      series: [
        {label: "\u200b", value: (plot, value, index, at) => (at == null ? "" : `at ${where(value)}`)},
        ...lines.map((line) => seriesOf(line, description.unit)),
      ],
    };
  }

  // --- one frame ------------------------------------------------------------------------------------------------

  function element(name, text, ...children) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }

  class Frame {
    constructor(host, description) {
      this.description = description;
      this.shown = "";
      this.plot = null;
      this.box = element("figure");
      this.box.className = "chart";
      this.box.id = `chart-${description.id}`;
      this.box.hidden = true;
      const title = element("h3", description.title);
      if (description.unit) title.append(" ", element("span", description.unit));
      this.place = element("div");
      this.place.className = "plot";
      this.box.append(element("figcaption", "", title, ...(description.about ? [element("p", description.about)] : [])), this.place);
      host.append(this.box);
      this.watch = new ResizeObserver(() => this.fit());
      this.watch.observe(this.place);
    }

    draw(timeline, anew = false) {
      const lines = linesOf(this.description, timeline.columns);
      this.box.hidden = !lines.length;
      if (!lines.length) return;
      const positive = (value) => (value > 0 ? value : null);
      const data = [timeline.at, ...lines.map(({column}) =>
        this.description.log ? timeline.columns[column].map(positive) : timeline.columns[column])];
      const shown = lines.map(({column}) => column).join("\n");
      this.marks = timeline.marks;
      if (this.plot && shown === this.shown && !anew) {
        this.plot.setData(data);
        return;
      }
      this.plot?.destroy();
      this.shown = shown;
      this.plot = new uPlot(optionsOf(this.description, lines, this.width(), () => this.marks), data, this.place);
      this.box.setAttribute("aria-label", `${this.description.title}: ${lines.map(({label}) => label).join(", ")}`);
    }

    width() {
      return Math.max(this.place.clientWidth, 200);
    }

    fit() {
      if (this.plot && this.plot.width !== this.width()) this.plot.setSize({width: this.width(), height: HEIGHT});
    }
  }

  // --- all of them --------------------------------------------------------------------------------------------------

  return function ParvisCharts(host, descriptions, timeline = {at: [], every_s: 1, columns: {}, marks: []}) {
    const frames = descriptions.map((description) => new Frame(host, description));
    const draw = (anew) => frames.forEach((frame) => frame.draw(timeline, anew));
    // Colours of legends are taken once, so a plot is made anew where they change.
    const repaint = () => draw(true);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    // Paper is white: charts are painted, so style sheets for print do not reach them.
    addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; repaint(); });
    addEventListener("afterprint", () => { delete document.documentElement.dataset.theme; repaint(); });
    draw();
    return {
      append({at, values, marks = []}) {
        const {columns} = timeline;
        for (const column of Object.keys(values)) columns[column] ??= timeline.at.map(() => (column.startsWith("per_s.") ? 0 : null));
        timeline.at.push(at);
        for (const column of Object.keys(columns)) columns[column].push(values[column] ?? (column.startsWith("per_s.") ? 0 : null));
        if (timeline.at.length > POINTS_MAX) [timeline.at, ...Object.values(columns)].forEach((each) => each.shift());
        timeline.marks.push(...marks);
        draw();
      },
      replace(whole) {
        timeline = whole;
        draw();
      },
    };
  };
})();
