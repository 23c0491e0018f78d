// The viewer: a scan below, labels above, the name of the structure under the pointer.
"use strict";

const part = (id) => document.getElementById(id);
const viewer = new niivue.Niivue({ backColor: [0, 0, 0, 1], crosshairWidth: 0.5, show3Dcrosshair: true, dragAndDropEnabled: false });
const shown = { results: [], names: new Map(), colours: new Map() };

function colourMap(table) {
  const map = { R: [], G: [], B: [], A: [], I: [], labels: [] };
  for (const [index, name, colour] of table) {
    map.I.push(index);
    map.labels.push(name);
    map.R.push(parseInt(colour.slice(1, 3), 16));
    map.G.push(parseInt(colour.slice(3, 5), 16));
    map.B.push(parseInt(colour.slice(5, 7), 16));
    map.A.push(index === 0 ? 0 : 255);
  }
  return map;
}

async function show() {
  const result = shown.results[part("scan").value];
  const layer = result.layers[part("layer").value] || result.layers[0];
  part("message").textContent = "loading";
  shown.names = new Map(layer.table.map(([index, name]) => [index, name]));
  shown.colours = new Map(layer.table.map(([index, , colour]) => [index, colour]));
  await viewer.loadVolumes([
    { url: result.background.address, name: result.background.name, colormap: "gray" },
    { url: layer.address, name: layer.name, opacity: part("opacity").value / 100 },
  ]);
  viewer.volumes[1].setColormapLabel(colourMap(layer.table));
  viewer.setAtlasOutline(part("outline").checked ? 1 : 0);
  viewer.setRadiologicalConvention(part("radiological").checked);
  viewer.updateGLVolume();
  part("report").hidden = !result.report;
  if (result.report) part("report").href = result.report;
  part("message").textContent = `${result.background.name}, ${layer.protocol}`;
  document.body.dataset.ready = layer.name;
}

function fill(select, names) {
  select.replaceChildren(...names.map((name, number) => new Option(name, number)));
}

function chooseScan() {
  fill(part("layer"), shown.results[part("scan").value].layers.map((layer) => layer.protocol));
  return show();
}

function tell(event) {
  const box = part("canvas").getBoundingClientRect();
  const scale = part("canvas").width / box.width;
  const place = viewer.canvasPos2frac([(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]);
  const layer = viewer.volumes[1];
  let index = 0;
  if (layer && place[0] >= 0) {
    const mm = viewer.frac2mm(place);
    index = Math.round(layer.getValue(...layer.mm2vox([mm[0], mm[1], mm[2]])));
  }
  part("structure").textContent = index ? shown.names.get(index) || `id ${index}` : "";
  part("structure").style.setProperty("--colour", index ? shown.colours.get(index) : "transparent");
}

async function start() {
  await viewer.attachToCanvas(part("canvas"));
  shown.results = await (await fetch("/results.json")).json();
  fill(part("scan"), shown.results.map((result) => result.title));
  part("scan").onchange = chooseScan;
  part("layer").onchange = show;
  part("opacity").oninput = () => viewer.setOpacity(1, part("opacity").value / 100);
  part("outline").onchange = () => viewer.setAtlasOutline(part("outline").checked ? 1 : 0);
  part("radiological").onchange = () => viewer.setRadiologicalConvention(part("radiological").checked);
  part("canvas").addEventListener("mousemove", tell);
  await chooseScan();
}

start().catch((error) => {
  part("message").textContent = `cannot show this: ${error.message || error}`;
  console.error(error);
});
