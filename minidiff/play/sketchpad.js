// The front end of sketchpad.py. `ink`: a PNG as a data URL, opaque where it is painted, as large as the picture.

const STEP = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const sheet = make("canvas", { tabIndex: 0, className: "minidiff-sheet" });
  const ink = make("canvas"); // what is painted, alone
  const back = new Image();
  const size = make("input", { type: "range", min: 1, max: 48, value: model.get("brush") });
  const erase = make("input", { type: "checkbox" });
  const clear = make("button", { type: "button", textContent: "Clear", className: "jupyter-button" });
  const status = make("output");
  const tools = make("div", { className: "minidiff-tools" }, make("label", {}, "brush ", size));
  tools.append(make("label", {}, erase, " erase"), clear, status);
  el.classList.add("minidiff-sketchpad");
  el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  el.append(sheet, tools);
  sheet.setAttribute("role", "application");

  let sent, // the ink that this page knows already
    last, // where the pen was
    cursor; // of the keyboard, while it is used

  function show() {
    const [pen, paper] = [ink.getContext("2d"), sheet.getContext("2d")];
    paper.globalAlpha = 1;
    paper.fillStyle = "white";
    paper.fillRect(0, 0, sheet.width, sheet.height);
    if (back.width) paper.drawImage(back, 0, 0);
    paper.globalAlpha = back.width ? 0.65 : 1;
    paper.drawImage(pen.canvas, 0, 0);
    paper.globalAlpha = 1;
    if (!cursor) return;
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
    pen.strokeStyle = model.get("colour");
    pen.lineWidth = size.value;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    show();
  }

  function send() {
    sent = ink.toDataURL("image/png");
    model.set("ink", sent);
    model.save_changes();
  }

  async function receive() {
    if (model.get("ink") === sent) return;
    sent = model.get("ink");
    const image = new Image();
    image.src = sent;
    await image.decode();
    [ink.width, ink.height] = [sheet.width, sheet.height] = [image.width, image.height]; // also clears them
    ink.getContext("2d").drawImage(image, 0, 0);
    const scale = Math.max(1, Math.round(320 / Math.max(image.width, image.height)));
    sheet.style.width = `${scale * image.width}px`;
    show();
  }

  async function underlay() {
    back.removeAttribute("src");
    if (model.get("background")) {
      back.src = model.get("background");
      await back.decode();
    }
    show();
  }

  const name = () => sheet.setAttribute("aria-label", `${model.get("label")}: arrow keys move, Space paints, with Shift along the way`);
  const at = (event) => {
    const box = sheet.getBoundingClientRect();
    return [((event.clientX - box.left) * sheet.width) / box.width, ((event.clientY - box.top) * sheet.height) / box.height];
  };

  sheet.onpointerdown = (event) => {
    sheet.setPointerCapture(event.pointerId);
    cursor = undefined;
    last = at(event);
    paint(last, last);
  };
  sheet.onpointermove = (event) => {
    if (!last) return;
    const now = at(event);
    paint(last, now);
    last = now;
  };
  sheet.onpointerup = sheet.onpointercancel = () => {
    if (last) send();
    last = undefined;
  };
  sheet.onkeydown = (event) => {
    if (!STEP[event.key] && event.key !== " ") return;
    event.preventDefault();
    const from = cursor ?? [sheet.width / 2, sheet.height / 2];
    const stride = Math.max(1, size.value / 2);
    const move = (x, d, most) => Math.min(most, Math.max(0, x + stride * d));
    const [dx, dy] = STEP[event.key] ?? [0, 0];
    cursor = [move(from[0], dx, sheet.width), move(from[1], dy, sheet.height)];
    if (event.key === " " || event.shiftKey) {
      paint(from, cursor);
      send();
    }
    status.textContent = `x ${Math.round(cursor[0])}, y ${Math.round(cursor[1])}`;
    show();
  };
  sheet.onblur = () => ((cursor = undefined), show());
  size.oninput = show;
  clear.onclick = () => {
    ink.width = ink.width;
    show();
    send();
  };
  const listeners = { ink: receive, background: underlay, label: name };
  for (const [trait, listener] of Object.entries(listeners)) {
    model.on(`change:${trait}`, listener);
    listener();
  }
  return () => Object.entries(listeners).forEach(([trait, listener]) => model.off(`change:${trait}`, listener));
}

export default { render };
