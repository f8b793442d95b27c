// The page's side of sketchpad.py. `ink`, a PNG as a data URL, is opaque where it is painted, and of the picture's size.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function load(image, url) {
  return new Promise((done) => Object.assign(image, { onload: done, src: url })); // decode() fails on some hidden pages
}

function stripes(paper) {
  const tile = make("canvas", { width: 8, height: 8 });
  const pen = tile.getContext("2d");
  for (let i = 0; i < 64; i++) {
    pen.fillStyle = ((i % 8) + (i >> 3)) % 8 < 4 ? "black" : "white"; // seen on a picture of any colour
    pen.fillRect(i % 8, i >> 3, 1, 1);
  }
  return paper.createPattern(tile, "repeat");
}

function render({ model, el }) {
  const sheet = make("canvas", { tabIndex: 0, className: "minidiff-sheet" }); // what is seen
  const [ink, cover, back] = [make("canvas"), make("canvas"), new Image()]; // what is painted; the same in stripes
  const size = make("input", { type: "range", min: 1, max: 48, value: model.get("brush") });
  const erase = make("input", { type: "checkbox" });
  const clear = make("button", { type: "button", textContent: "Clear", className: "jupyter-button" });
  const status = make("output");
  const tools = [make("label", {}, "brush ", size), make("label", {}, erase, " erase"), clear, status];
  el.append(sheet, make("div", { className: "minidiff-tools" }, ...tools));
  el.classList.add("minidiff-sketchpad");
  el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  sheet.setAttribute("role", "application");

  let sent, // the ink that this page knows already
    last, // where the pressed pen was
    cursor; // where the pen is, of mouse or keyboard

  function show() {
    const [stencil, paper] = [cover.getContext("2d"), sheet.getContext("2d")];
    stencil.globalCompositeOperation = "copy";
    stencil.drawImage(ink, 0, 0);
    stencil.globalCompositeOperation = "source-in";
    stencil.fillStyle = back.width ? stripes(stencil) : "black";
    stencil.fillRect(0, 0, cover.width, cover.height);
    paper.fillStyle = "white";
    paper.fillRect(0, 0, sheet.width, sheet.height);
    if (back.width) paper.drawImage(back, 0, 0);
    paper.globalAlpha = back.width ? 0.6 : 1;
    paper.drawImage(cover, 0, 0);
    paper.globalAlpha = 1;
    if (!cursor || !sheet.matches(":focus, :hover")) return;
    for (const [colour, grown] of [["white", 1.5], ["black", 0.5]]) {
      paper.strokeStyle = colour;
      paper.beginPath();
      paper.arc(...cursor, size.value / 2 + grown, 0, 7);
      paper.stroke();
    }
  }

  function paint(from, to) {
    const pen = ink.getContext("2d");
    pen.globalCompositeOperation = erase.checked ? "destination-out" : "source-over";
    [pen.lineWidth, pen.lineCap] = [size.value, "round"];
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }

  function send() {
    show();
    model.set("ink", (sent = ink.toDataURL("image/png")));
    model.save_changes();
  }

  async function receive() {
    if (model.get("ink") === sent) return;
    const image = new Image();
    await load(image, (sent = model.get("ink")));
    for (const each of [ink, cover, sheet]) [each.width, each.height] = [image.width, image.height]; // clears them
    ink.getContext("2d").drawImage(image, 0, 0);
    sheet.style.width = `${Math.max(1, Math.round(320 / Math.max(image.width, image.height))) * image.width}px`;
    show();
  }

  async function underlay() {
    if (model.get("background")) await load(back, model.get("background"));
    show();
  }

  function at(event) {
    const box = sheet.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * sheet.width, (event.clientY - box.top) / box.height * sheet.height];
  }

  sheet.onpointerdown = (event) => {
    sheet.setPointerCapture(event.pointerId);
    last = cursor = at(event);
    paint(last, last);
  };
  sheet.onpointermove = (event) => {
    cursor = at(event);
    if (last) paint(last, cursor);
    if (last) last = cursor;
    show();
  };
  sheet.onpointerup = sheet.onpointercancel = () => {
    if (last) send();
    last = undefined;
  };
  sheet.onkeydown = (event) => {
    if (!ARROWS[event.key]) return;
    event.preventDefault();
    const [limits, from] = [[sheet.width, sheet.height], cursor ?? [sheet.width / 2, sheet.height / 2]];
    const stride = Math.max(1, size.value / 2);
    cursor = ARROWS[event.key].map((d, i) => Math.min(limits[i], Math.max(0, from[i] + stride * d)));
    status.textContent = `x ${Math.round(cursor[0])}, y ${Math.round(cursor[1])}`;
    if (event.key !== " " && !event.shiftKey) return show();
    paint(from, cursor);
    send();
  };
  sheet.onfocus = sheet.onblur = sheet.onpointerleave = size.oninput = show;
  clear.onclick = () => {
    ink.width = ink.width; // clears it
    send();
  };
  sheet.setAttribute("aria-label", `${model.get("label")}: arrow keys move, Space paints, Shift and arrow keys paint`);
  const listeners = { ink: receive, background: underlay };
  for (const [trait, listener] of Object.entries(listeners)) model.on(`change:${trait}`, listener);
  receive().then(underlay);
  return () => Object.entries(listeners).forEach(([trait, listener]) => model.off(`change:${trait}`, listener));
}

export default { render };
