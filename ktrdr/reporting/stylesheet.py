"""How the sheet looks: on a screen in light and dark, on a phone, and on paper.

Blue gains and orange losses are told apart by every common kind of colour blindness (Okabe and Ito 2008);
lines differ in weight and dashes too, marks in shape.
"""

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d8dee4;--grid:#e9edf1;
--blue:#0b67b2;--orange:#c4560a;--held:#6e7781;--panel:#f5f7f9;--warn:#fff1dc;--warnrule:#c4560a;--candle:#8a939d}
@media (prefers-color-scheme:dark){:root{--page:#11151a;--ink:#e6eaef;--soft:#9aa5b1;--rule:#2f363f;--grid:#222a32;
--blue:#5fb2f5;--orange:#f39a4b;--held:#9aa5b1;--panel:#191f26;--warn:#33240f;--warnrule:#f39a4b;--candle:#6d7783}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:28px 24px 48px}
h1{font-size:1.7rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0 0 2px}
h3{font-size:.95rem;margin:14px 0 4px}
header p{margin:4px 0 0;color:var(--soft)}
section{margin:34px 0 0}
.note{margin:0 0 8px;color:var(--soft);font-size:.87rem}
header .rows{margin:14px 0 0;padding:9px 13px;border-left:4px solid var(--blue);background:var(--panel);color:var(--ink)}
header .watched,header .unknown{border-color:var(--warnrule);background:var(--warn)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:0}
.tile{background:var(--panel);border-radius:6px;padding:11px 13px}
.tile dt{color:var(--soft);font-size:.85rem}
.tile dd{margin:0;font-size:1.45rem;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.3}
.tile .beside{font-size:.82rem;font-weight:400;color:var(--soft)}
.chart{position:relative;display:flex;padding-right:10px}
.axis{flex:none}.pane{flex:1;min-width:0;overflow:visible}.plot{display:block;overflow:visible}
.chart output{position:absolute;left:70px;top:-2px;padding:0 6px;background:var(--page);font-size:.8rem;
font-variant-numeric:tabular-nums;white-space:pre-wrap;pointer-events:none}
.chart output:empty{display:none}
.tick,.unit{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
.unit{font-size:11px}
.start{text-anchor:start}.middle{text-anchor:middle}.end{text-anchor:end}
.grid{stroke:var(--grid);stroke-width:1}.zero{stroke:var(--soft);stroke-width:1}
.cross{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3;visibility:hidden;pointer-events:none}.cross.on{visibility:visible}
.line{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.line.strategy{stroke:var(--blue);stroke-width:2}
.line.benchmark{stroke:var(--held);stroke-width:1.4;stroke-dasharray:5 3}
.line.loss{stroke:var(--orange);stroke-width:1.3}
.under{fill:var(--orange);fill-opacity:.22}
rect.gain{fill:var(--blue)}rect.loss{fill:var(--orange)}
.wick,.rose,.fell{stroke:var(--candle);stroke-width:1;vector-effect:non-scaling-stroke}
.wick{fill:none}.rose{fill:var(--page)}.fell{fill:var(--candle)}
.join{fill:none;vector-effect:non-scaling-stroke;stroke-width:1.6}
.join.gained{stroke:var(--blue)}.join.lost{stroke:var(--orange);stroke-dasharray:4 3}
.mark{overflow:visible}.mark.long path{fill:var(--blue);stroke:var(--page)}
.mark.short path{fill:var(--orange);stroke:var(--page)}
.mark.exit circle{fill:var(--page);stroke:var(--ink);stroke-width:1.3}
.key{display:inline-block;margin-right:16px;color:var(--ink);white-space:nowrap}
.key.strategy::before,.key.benchmark::before,.key.gained::before,.key.lost::before{content:"";display:inline-block;
width:22px;margin-right:6px;vertical-align:middle;border-top:3px solid var(--blue)}
.key.benchmark::before{border-top:2px dashed var(--held)}
.key.gained::before{border-top-width:2px}.key.lost::before{border-top:2px dashed var(--orange)}
.key.long{color:var(--blue)}.key.short{color:var(--orange)}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px 4px 0;text-align:left;font-weight:400;border-bottom:1px solid var(--grid);vertical-align:baseline}
thead th{color:var(--soft);font-size:.82rem;border-bottom-color:var(--rule);white-space:nowrap}
.figure{text-align:right;white-space:nowrap}
.metrics .group{font-weight:600;padding-top:14px;border-bottom-color:var(--rule)}
.metrics .figure{padding-right:26px}.metrics .says{color:var(--soft)}
.scroll{overflow-x:auto}
.trades td{white-space:nowrap}.trades td.short{color:var(--orange)}.trades td.long{color:var(--blue)}
.heat th,.heat td{text-align:right;padding:5px 7px;border:1px solid var(--page)}
.heat th:first-child{text-align:left}.heat .total{font-weight:600;border-left:6px solid var(--page)}
.terms{margin:0;font-size:.9rem}.terms div{display:flex;gap:12px;padding:3px 0;border-bottom:1px solid var(--grid)}
.terms dt{flex:0 0 9.5rem;color:var(--soft)}.terms dd{margin:0;min-width:0;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 36px}
code{font:.86rem ui-monospace,"DejaVu Sans Mono",monospace}
@media (max-width:640px){main{padding:18px 12px 36px}.pair{grid-template-columns:1fr}.rare{display:none}
h1{font-size:1.35rem}.tiles{grid-template-columns:1fr 1fr}.says{display:none}.metrics .figure{padding-right:8px}
.heat{font-size:.78rem}.heat th,.heat td{padding:4px}.heat th:first-child,.heat thead th:first-child{position:sticky;
left:0;background:var(--page)}.terms dt{flex-basis:7rem}.chart{padding-right:4px}
.pane:has(.wide760){overflow-x:auto}.wide760{min-width:760px;overflow:hidden}}
@media print{:root{--page:#fff;--ink:#000;--soft:#444;--rule:#bbb;--grid:#ddd;--blue:#0b67b2;--orange:#c4560a;
--held:#6e7781;--panel:#fff;--warn:#fff;--candle:#8a939d}body{font-size:11px}main{max-width:none;padding:0}
section{break-inside:avoid;margin-top:20px}#trades,#metrics{break-inside:auto}.scroll{overflow:visible}
tr{break-inside:avoid}.tile{border:1px solid var(--rule)}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""" + "".join(
    f".{side}{level}{{background:color-mix(in srgb,var(--{colour}) {level * 12}%,var(--page))}}"
    for side, colour in (("gain", "blue"), ("loss", "orange"))
    for level in range(1, 6)
)
