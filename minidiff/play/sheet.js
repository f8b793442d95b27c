// A sheet to draw on, with its tools: what sketchpad.js and studio.js put on a page. See sketchpad.py.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };
const FINE = 4; // pixels of the page's sheet for one of the picture, so that strokes are smooth

function make(tag, properties, ...children) {
  const { dataset, style, ...others } = properties ?? {};
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset, { lmSuppressShortcuts: "true" }); // JupyterLab's, for what has the focus
  Object.assign(element.style, style);
  element.append(...children);
  return element;
}

function button(name, title, onclick, className = "") {
  const element = make("button", { type: "button", textContent: name, title, onclick, className });
  if (!/\w/.test(name)) element.ariaLabel = title; // a sign or a picture
  return element;
}

function load(image, url) {
  // decode() fails on some hidden pages
  return new Promise((done, fail) => Object.assign(image, { onload: done, onerror: fail, src: url }));
}

function stripes(pen) {
  const tile = make("canvas", { width: 8 * FINE, height: 8 * FINE });
  const brush = tile.getContext("2d");
  for (let i = 0; i < 64; i++) {
    brush.fillStyle = ((i % 8) + (i >> 3)) % 8 < 4 ? "black" : "white"; // seen on a picture of any colour
    brush.fillRect(FINE * (i % 8), FINE * (i >> 3), FINE, FINE);
  }
  return pen.createPattern(tile, "repeat");
}

// f, at most once in pace() milliseconds. The last call is never lost: it is made later, or by `now`.
function seldom(f, pace) {
  let resting, again;
  function call() {
    again = resting;
    if (resting) return;
    resting = true;
    setTimeout(() => {
      resting = false;
      if (again) call();
    }, pace());
    f();
  }
  call.now = () => again && ((again = false), f());
  return call;
}

// One stroke, as a curve through the middles of its points: a single path has no joints to be seen.
function trace(pen, { points, size, erase, colour, clear }, scale) {
  if (clear) return pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  const at = ([x, y]) => [x * scale, y * scale];
  pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(pen, { lineWidth: size * scale, lineCap: "round", lineJoin: "round", strokeStyle: colour });
  pen.beginPath();
  pen.moveTo(...at(points[0]));
  points.slice(1, -1).forEach(([x, y], i) => {
    const next = points[i + 2];
    pen.quadraticCurveTo(...at([x, y]), ...at([(x + next[0]) / 2, (y + next[1]) / 2]));
  });
  pen.lineTo(...at(points.at(-1)));
  pen.stroke();
  pen.globalCompositeOperation = "source-over";
}

// ink         name of the trait that holds what is painted: a PNG as a data URL, of the picture's size, opaque where it
//             is painted; "" for nothing
// background  name of the trait that holds the picture below; without one, or if it is "", paper of `side`, [w, h]
// colours     CSS colours to paint with; without them the paint is a mask, striped on a picture and black on paper
// follows     () -> after how many milliseconds the ink is wanted again while a stroke is drawn; 0 if when it ends
// Returns its element, `undo` and `redo`, and `end`, to call when the page no longer needs it.
function sheet(model, { ink, background, label, brush, colours, side, follows }) {
  const seen = make("canvas", { tabIndex: 0, className: "minidiff-sheet" });
  const [base, native, layer, back] = [make("canvas"), make("canvas"), make("canvas"), new Image()];
  const size = make("input", { type: "range", min: 1, max: 48, value: brush, title: "brush size: [ and ]" });
  const erase = make("input", { type: "checkbox" });
  const status = make("output");
  const undoing = button("↶", "undo: Ctrl Z", undo);
  const redoing = button("↷", "redo: Ctrl Shift Z", redo);
  const tools = make("div", { className: "minidiff-tools" });
  let colour = colours?.[0] ?? "black",
    strokes = [], // since `base` was given
    undone = [],
    stroke, // the one of the pressed pen
    sent, // the ink that this page knows already
    cursor; // where the pen is, of mouse or keyboard

  for (const each of colours ?? []) {
    const pot = button("", `paint ${each}`, () => choose(each), "minidiff-pot");
    pot.style.background = each;
    pot.dataset.colour = each;
    tools.append(pot);
  }
  if (colours) {
    const own = make("input", { type: "color", value: colours[0], title: "another colour" });
    own.oninput = () => choose(own.value);
    tools.append(own);
  }
  const clear = button("Clear", "clear all that is painted", () => add({ clear: true }));
  tools.append(make("label", {}, "brush ", size), make("label", {}, erase, " erase"), undoing, redoing, clear, status);

  function choose(chosen) {
    [colour, erase.checked] = [chosen, false];
    for (const pot of tools.querySelectorAll(".minidiff-pot")) pot.ariaPressed = pot.dataset.colour === colour;
  }

  function paint(canvas, scale) {
    [canvas.width, canvas.height] = [base.width * scale, base.height * scale]; // clears it
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingEnabled = false;
    pen.drawImage(base, 0, 0, canvas.width, canvas.height);
    for (const each of stroke ? [...strokes, stroke] : strokes) trace(pen, each, scale);
    return pen;
  }

  function show() {
    [seen.width, seen.height] = [base.width * FINE, base.height * FINE];
    const [pen, stencil] = [seen.getContext("2d"), paint(layer, FINE)];
    const masks = !colours && back.url;
    if (masks) {
      stencil.globalCompositeOperation = "source-in";
      stencil.fillStyle = stripes(stencil);
      stencil.fillRect(0, 0, layer.width, layer.height);
    }
    pen.fillStyle = "white";
    pen.fillRect(0, 0, seen.width, seen.height);
    if (back.url) pen.drawImage(back, 0, 0, seen.width, seen.height);
    pen.globalAlpha = masks ? 0.6 : 1;
    pen.drawImage(layer, 0, 0);
    pen.globalAlpha = 1;
    [undoing.disabled, redoing.disabled] = [!strokes.length, !undone.length];
    if (!cursor || !seen.matches(":focus, :hover")) return;
    for (const [shade, grown] of [["white", 1], ["black", 0]]) {
      [pen.strokeStyle, pen.lineWidth] = [shade, 2];
      pen.beginPath();
      pen.arc(FINE * cursor[0], FINE * cursor[1], FINE * (size.value / 2 + grown / 2), 0, 7);
      pen.stroke();
    }
  }

  function send() {
    const pen = paint(native, 1);
    const pixels = pen.getImageData(0, 0, native.width, native.height);
    for (let i = 3; i < pixels.data.length; i += 4) pixels.data[i] = pixels.data[i] > 127 ? 255 : 0; // painted or not
    pen.putImageData(pixels, 0, 0);
    model.set(ink, (sent = native.toDataURL("image/png")));
    model.save_changes();
    show();
  }

  const sendSoon = seldom(send, follows);

  function add(another) {
    strokes.push(another);
    undone = [];
    send();
  }

  function undo() {
    if (!strokes.length) return;
    undone.push(strokes.pop());
    send();
  }

  function redo() {
    if (!undone.length) return;
    strokes.push(undone.pop());
    send();
  }

  async function receive() {
    const [url, under] = [model.get(ink), background && model.get(background)];
    if (url === sent && under === back.url) return;
    const image = new Image();
    if (under && under !== back.url) await load(back, under);
    back.url = under;
    if (url) await load(image, url);
    const from = image.width ? image : under ? back : { width: side[0], height: side[1] };
    if (url !== sent || from.width !== base.width || from.height !== base.height) {
      [base.width, base.height] = [from.width, from.height]; // clears it
      if (url) base.getContext("2d").drawImage(image, 0, 0);
      [strokes, undone, sent] = [[], [], url];
    }
    seen.style.width = `min(100%, ${Math.min(3 * base.width, 384)}px)`;
    show();
  }

  function at(event) {
    const box = seen.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return [x * base.width, y * base.height];
  }

  const begun = (points) => ({ points, size: +size.value, erase: erase.checked, colour });

  seen.onpointerdown = (event) => {
    if (event.button) return;
    seen.setPointerCapture(event.pointerId);
    stroke = begun([(cursor = at(event))]);
    show();
  };
  seen.onpointermove = (event) => {
    const events = event.getCoalescedEvents?.() ?? [];
    if (stroke) stroke.points.push(...(events.length ? events : [event]).map(at));
    cursor = at(event);
    show();
    if (stroke && follows?.()) sendSoon();
  };
  seen.onpointerup = seen.onpointercancel = () => {
    const done = stroke;
    stroke = undefined;
    if (done) add(done);
  };
  seen.onkeydown = (event) => {
    if (event.key === "[" || event.key === "]") {
      size.value = Math.round(size.value * (event.key === "]" ? 1.25 : 0.8) + (event.key === "]" ? 0.5 : -0.5));
      status.textContent = `brush ${size.value}`;
      return show();
    }
    if (!ARROWS[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [limits, from] = [[base.width, base.height], cursor ?? [base.width / 2, base.height / 2]];
    const stride = Math.max(1, size.value / 2);
    cursor = ARROWS[event.key].map((d, i) => Math.min(limits[i], Math.max(0, from[i] + stride * d)));
    status.textContent = `x ${Math.round(cursor[0])}, y ${Math.round(cursor[1])}`;
    if (event.key === " " || event.shiftKey) add(begun([from, cursor]));
    else show();
  };
  seen.onfocus = seen.onblur = seen.onpointerleave = size.oninput = show;
  seen.setAttribute("role", "application");
  seen.ariaLabel = `${label}: arrow keys move, Space paints, Shift and arrow keys paint, [ and ] size the brush`;
  choose(colour);
  const traits = [ink, background].filter(Boolean);
  for (const trait of traits) model.on(`change:${trait}`, receive);
  receive();
  const end = () => traits.forEach((trait) => model.off(`change:${trait}`, receive));
  return { element: make("div", { className: "minidiff-sketchpad" }, seen, tools), undo, redo, end };
}

// Ctrl Z and Ctrl Shift Z anywhere in `root` but where text is typed: the browser would undo what was typed last.
function undoes(root, current) {
  root.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || !"zy".includes(key)) return;
    if (event.target.matches("input:not([type=range], [type=checkbox], [type=color]), textarea")) return;
    event.preventDefault();
    event.stopPropagation();
    if (key === "y" || event.shiftKey) current()?.redo();
    else current()?.undo();
  });
}
