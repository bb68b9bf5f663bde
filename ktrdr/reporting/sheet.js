"use strict";
// Read-outs under the pointer. The sheet says everything that matters without them.
const data = JSON.parse(document.getElementById("data").textContent);
const written = {
  money: (value) => value.toLocaleString("en", {maximumFractionDigits: Math.abs(value) < 1000 ? 2 : 0}),
  percent: (value) => (value * 100).toFixed(2) + "%",
  price: (value) => value.toLocaleString("en", {maximumSignificantDigits: 7}),
};

function date(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");
}

function nearest(times, moment) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < moment) low = middle + 1; else high = middle;
  }
  return low > 0 && moment - times[low - 1] < times[low] - moment ? low - 1 : low;
}

for (const chart of document.querySelectorAll("[data-read]")) {
  const {time, unit, even, values} = data[chart.dataset.read];
  const plot = chart.querySelector(".plot"), cross = chart.querySelector(".cross");
  const said = chart.appendChild(document.createElement("output"));
  const first = time[0], span = time[time.length - 1] - first || 1;

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const place = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const at = even ? Math.min(time.length - 1, Math.floor(place * time.length))
                    : nearest(time, first + place * span);
    const x = 100 * (even ? (at + 0.5) / time.length : (time[at] - first) / span) + "%";
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    cross.setAttribute("class", "cross on");
    const known = Object.entries(values).filter(([, list]) => list[at] !== null);
    const shown = known.map(([name, list]) => name + " " + written[unit](list[at]));
    said.textContent = [date(time[at]), ...shown].join("   ");
  });
  plot.addEventListener("pointerleave", () => {
    said.textContent = "";
    cross.setAttribute("class", "cross");
  });
}
