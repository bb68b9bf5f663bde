"""The read-outs under the pointer. The sheet says everything without them."""

SCRIPT = r"""
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const units = {
  money: (v) => v.toLocaleString("en", {maximumFractionDigits: Math.abs(v) < 1000 ? 2 : 0}),
  percent: (v) => (v * 100).toFixed(2).replace("-", "−") + "%",
  price: (v) => v.toLocaleString("en", {maximumSignificantDigits: Math.abs(v) < 1e4 ? 6 : 8}),
};
const date = (t) => new Date(t * 1000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");
function nearest(times, at) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1; else high = middle;
  }
  return low > 0 && at - times[low - 1] < times[low] - at ? low - 1 : low;
}
for (const chart of document.querySelectorAll("[data-read]")) {
  const of = data[chart.dataset.read], last = of.time.length - 1;
  const plot = chart.querySelector(".plot"), cross = chart.querySelector(".cross");
  const said = chart.appendChild(document.createElement("output"));
  const leave = () => { said.textContent = ""; cross.setAttribute("class", "cross"); };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const place = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const first = of.time[0], span = of.time[last] - first || 1;
    const at = of.even ? Math.min(last, Math.floor(place * (last + 1))) : nearest(of.time, first + place * span);
    const x = (of.even ? (at + 0.5) / (last + 1) : (of.time[at] - first) / span) * 100 + "%";
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    cross.setAttribute("class", "cross on");
    const values = Object.entries(of.values).filter(([, v]) => v[at] !== null);
    said.textContent = [date(of.time[at]), ...values.map(([n, v]) => n + " " + units[of.unit](v[at]))].join("   ");
  });
  plot.addEventListener("pointerleave", leave);
}
"""
