// The report: its data lie in the page, its charts are those of charts.js.
(() => {
  "use strict";
  const {charts, timeline, shares, curves} = JSON.parse(document.getElementById("data").textContent);
  ParvisCharts(document.getElementById("over-time"), charts, timeline);
  ParvisCharts(document.getElementById("by-share"), curves, shares);
})();
