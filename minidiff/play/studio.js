// The page's side of studio.py; sheet.js stands before it. What it asks of Python is a message, {do, …}; what Python
// says is in the model's traits, but for the strip's pictures, which come as messages: {pictures, all}, and for those that
// follow what moves, if it is fast: {live}.

const MODES = {
  "text to image": ["Draw", "A picture from words alone"],
  "image to image": ["Redraw", "The whole picture is redrawn. Paint on it first, if you like"],
  inpaint: ["Redraw what is painted", "Paint over what is to be redrawn; the words say what the picture then shows"],
  outpaint: ["Draw around", "More of the picture, at the sides that you choose"],
  scribble: ["Draw along the lines", "Draw lines, as a child would; the words say what they are of"],
};
const SHEETS = {
  "image to image": { ink: "paint", background: "image", label: "paint", brush: 12 },
  inpaint: { ink: "mask", background: "image", label: "mask", brush: 20 },
  scribble: { ink: "lines", label: "scribble", brush: 3 },
};
const STRENGTH = { "image to image": 0.8, inpaint: 1 }; // where each begins
const BIGGEST = 8 * 2 ** 20; // bytes of a file that is opened: what a message may hold

function field(name, properties, title = "") {
  const range = properties.type === "range";
  const input = make(properties.tag ?? "input", { ...properties, tag: undefined, title, name: name.replace(/ /g, "_") });
  const value = make("output");
  const label = make("label", { className: `minidiff-${name.replace(/ /g, "-")}` }, make("span", {}, name), input);
  if (range) label.append(value);
  if (range) input.say = () => (value.textContent = input.value);
  input.ariaLabel = name; // without the number beside it
  return { input, label };
}

// Of many buttons one is reached by Tab, the others by the arrow keys.
function reach(group, which = [...group.children].find((each) => !each.hidden)) {
  for (const each of group.children) each.tabIndex = each === which ? 0 : -1;
}

function roving(group) {
  reach(group);
  group.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const there = [...group.children].filter((each) => !each.hidden);
    const next = there.at((there.indexOf(event.target) + by) % there.length);
    reach(group, next);
    next.focus();
  });
}

function render({ model, el }) {
  const ends = [];
  const on = (name, listener) => {
    model.on(name, listener);
    ends.push(() => model.off(name, listener));
  };
  const box = (className, ...children) => make("div", { className: `minidiff-${className}` }, ...children);
  let pictures = [], // the strip: {id, url, caption, code, file}
    shown = [], // ids of those in the frame
    loras = {}, // name -> its dial
    arranged, // the mode that is seen
    pace = 50, // milliseconds between two things that are said of what moves: twice while a picture is drawn
    follows = false; // whether the frame has the picture that follows, and not those of `shown`

  // ------------------------------------------------------------------------------------------ what is asked for
  const prompt = make("input", { type: "text", ariaLabel: "prompt", placeholder: "what to draw", spellcheck: false });
  prompt.autocomplete = "off";
  const echo = box("echo");
  echo.ariaHidden = true;
  const dice = button("⚄", "a sentence by chance", () => ask("sentence"), "minidiff-dice");
  const line = box("line");
  line.setAttribute("role", "status");
  const draw = button("Draw", "draw: Enter", () => (model.get("busy") ? ask("stop") : go()), "minidiff-draw");
  const bar = make("progress", { max: 1, ariaLabel: "progress" });
  const message = box("message");
  message.setAttribute("role", "status");
  const four = field("four at once", { type: "checkbox" }, "four pictures, of four seeds");
  const fast = field("fast", { type: "checkbox" }, "two calls of a network that needs no more; the picture follows what you do");
  fast.label.hidden = !model.get("switch");
  const modes = Object.entries(MODES).map(([mode, [, title]]) => button(mode, title, () => enter(mode)));
  const tabs = box("modes", ...modes);
  tabs.setAttribute("role", "group");
  tabs.ariaLabel = "mode";

  const negative = field("negative prompt", { type: "text", placeholder: "what to keep away from", autocomplete: "off" });
  const guidance = field("guidance", { type: "range", min: 0, max: 15, step: 0.5 }, "how much the words count: 1 as learned, more exaggerates");
  const steps = field("steps", { type: "number", min: 1, max: model.get("most_steps"), step: 1, required: true });
  const sampler = field("sampler", { tag: "select" });
  sampler.input.append(...model.get("samplers").map((name) => make("option", { value: name, textContent: name })));
  const seed = field("seed", { type: "number", min: 0, max: 2 ** 53 - 1, step: 1, required: true }, "the noise that it starts from");
  const another = button("⚄", "another seed", () => reseed(), "minidiff-dice");
  const fresh = field("new each time", { type: "checkbox" }, "another seed for each drawing");
  const strength = field("strength", { type: "range", min: 0.05, max: 1, step: 0.05 }, "how much of the picture is forgotten");
  const scale = field("control scale", { type: "range", min: 0, max: 2, step: 0.1 }, "how closely the lines are followed");
  const likeness = field("ip scale", { type: "range", min: 0, max: 1.5, step: 0.1 }, "how much that picture counts beside the words");
  const sides = ["left", "top", "right", "bottom"].map((side) =>
    field(side, { type: "number", min: 0, max: 64, step: 8, required: true }, `pixels to draw at the ${side}`),
  );
  const fields = [negative, guidance, steps, sampler, seed, strength, scale, likeness, fresh, four, fast, ...sides];

  // ------------------------------------------------------------------------------------------ what is painted
  const sheets = Object.entries(SHEETS).map(([mode, options]) => {
    const colours = mode === "image to image" ? model.get("colours") : undefined;
    const made = sheet(model, { ...options, colours, side: model.get("side"), follows: () => model.get("settings").fast && pace });
    made.element.classList.add(`minidiff-${options.label}`);
    ends.push(made.end);
    return [mode, made];
  });
  const around = make("img", { alt: "the picture that is drawn around" });
  const file = make("input", { type: "file", accept: "image/*,.safetensors", ariaLabel: "open a file", hidden: true });
  const open = button("Open a picture", "or drop one here, or paste it", () => file.click());
  const what = box("what");
  const canvas = box("canvas", what, ...sheets.map(([, made]) => made.element), box("around", around));
  const margins = box("margins", ...sides.map((side) => side.label));
  canvas.append(margins, strength.label, scale.label, box("open", open, file));

  // ------------------------------------------------------------------------------------------ words
  const words = box("words");
  const chips = [];
  const groups = Object.entries(model.get("words"));
  let tile = 0;
  for (const [name, members] of groups) {
    const drawn = !["size", "where"].includes(name); // these have no picture
    const group = box("group", make("span", { textContent: name }));
    const made = members.map((word) => {
      const chip = button(word, word, () => ask("word", { word }), "minidiff-chip");
      if (drawn) {
        const icon = make("i", { ariaHidden: true });
        icon.style.backgroundImage = `url(${model.get("tiles")})`;
        icon.style.backgroundPosition = `-${20 * (tile % 16)}px -${20 * Math.floor(tile / 16)}px`;
        chip.prepend(icon);
        tile += 1;
      }
      chips.push({ chip, word });
      return chip;
    });
    group.setAttribute("role", "group");
    group.ariaLabel = name;
    const list = box("chips", ...made);
    roving(list);
    if (name === "object") {
      const search = make("input", { type: "search", placeholder: "search", ariaLabel: "search the objects" });
      search.oninput = () => {
        const sought = search.value.trim().toLowerCase();
        for (const chip of made) chip.hidden = !chip.textContent.includes(sought);
        reach(list);
      };
      search.onkeydown = (event) => {
        const first = made.find((chip) => !chip.hidden);
        if (event.key === "Enter" && search.value && first) first.click();
        if (event.key === "Enter") event.stopPropagation(); // it does not draw
      };
      group.firstChild.append(search);
      list.classList.add("minidiff-objects");
    }
    group.append(list);
    words.append(group);
  }
  const drawer = make("details", { open: true, className: "minidiff-drawer" }, make("summary", { textContent: "Words that it knows" }), words);
  drawer.hidden = !groups.length;

  // ------------------------------------------------------------------------------------------ what was drawn
  const frame = box("frame");
  const live = make("img", { className: "minidiff-live" });
  const caption = box("caption");
  const edit = button("Edit this", "redraw this picture, or a part of it, or around it", () => ask("edit", { id: shown[0] }));
  const look = button("Draw alike", "let what it shows count beside the words", () => alike(shown[0]));
  const save = make("a", { className: "minidiff-save jupyter-button", textContent: "Save", title: "download it; the file says how it was drawn" });
  const copy = button("Copy as Python", "the call that draws it", copied);
  const code = make("textarea", { readOnly: true, hidden: true, wrap: "off", className: "minidiff-code", ariaLabel: "as Python" });
  const strip = box("strip");
  strip.setAttribute("role", "group");
  strip.ariaLabel = "all pictures so far, the newest first";
  roving(strip);
  const examples = box("examples", ...model.get("examples").map((text) => button(text, `draw: ${text}`, () => say(text))));

  const left = box(
    "ask",
    tabs,
    box("row", box("prompt", echo, prompt), dice),
    box("row", draw, four.label, fast.label, bar, message),
    line,
    examples,
  );
  const settings = box("settings", negative.label, guidance.label, steps.label, sampler.label, box("row", seed.label, another, fresh.label));
  const adapt = button("Open a LoRA", "or drop its .safetensors here", () => file.click());
  const dials = box("loras");
  const given = make("img", { alt: "the picture that counts beside the words" });
  const drop = button("Without it", "let the words alone count", () => alike(null));
  const beside = box("beside", given, likeness.label, drop);
  settings.append(box("row", adapt), dials, beside);
  const more = make("details", { open: true, className: "minidiff-drawer" }, make("summary", { textContent: "Settings" }), settings);
  const picture = box("picture", frame, caption, box("row", edit, look, save, copy), code, strip, more);
  const rest = box("more", canvas, drawer);
  el.classList.add("minidiff-studio");
  el.append(box("columns", left, picture, rest));
  for (const each of el.querySelectorAll("button")) each.classList.add("jupyter-button");

  // ------------------------------------------------------------------------------------------ between page and Python
  function ask(what, more = {}) {
    moved.now();
    model.send({ do: what, settings: read(), ...more });
  }

  function read() {
    const value = ({ type, value, checked }) => (type === "checkbox" ? checked : type === "text" || !type || isNaN(value) ? value : +value);
    const { mode, ip_image } = model.get("settings");
    const found = { mode, ip_image, prompt: prompt.value };
    found.loras = Object.fromEntries(Object.entries(loras).map(([name, { input }]) => [name, +input.value]));
    for (const { input } of fields) found[input.name] = input.type === "select-one" ? input.value : value(input);
    found.margins = sides.map(({ input }) => +input.value);
    return found;
  }

  function write() {
    const { margins: four, ...found } = model.get("settings");
    if (prompt.value !== found.prompt) prompt.value = found.prompt;
    sides.forEach(({ input }, i) => (input.value = four[i]));
    for (const { input } of fields) {
      if (!(input.name in found)) continue;
      if (input.type === "checkbox") input.checked = found[input.name];
      else if (input.value !== String(found[input.name])) input.value = found[input.name];
      input.say?.();
    }
    if (Object.keys(found.loras).join("\n") !== Object.keys(loras).join("\n")) {
      const dial = { type: "range", min: -1, max: 2, step: 0.1 };
      loras = Object.fromEntries(Object.keys(found.loras).map((name) => [name, field(name, dial, "this LoRA's weight: 0 is without it")]));
      dials.replaceChildren(...Object.values(loras).map(({ label }) => label));
    }
    for (const [name, { input }] of Object.entries(loras)) {
      input.value = found.loras[name];
      input.oninput = moved;
      input.say();
    }
    for (const { input } of [negative, guidance, sampler]) input.disabled = found.fast;
    steps.input.max = model.get(found.fast ? "few_steps" : "most_steps");
    if (follows && !found.fast) settle(shown);
    arrange(found.mode);
    mark();
  }

  function alike(id) {
    model.set("settings", { ...read(), ip_image: id });
    model.save_changes();
  }

  function changed() {
    for (const { input } of [...fields, ...Object.values(loras)]) input.say?.();
    model.set("settings", read());
    model.save_changes();
  }

  const moved = seldom(changed, () => pace);

  function enter(mode) {
    const before = model.get("settings").mode;
    model.set("settings", { ...read(), mode, ...(STRENGTH[mode] && { strength: STRENGTH[mode] }) });
    model.save_changes();
    const edits = (name) => !["text to image", "scribble"].includes(name);
    if (edits(mode) && !edits(before)) ask("edit", { id: shown[0], settings: model.get("settings") });
    tell("");
  }

  function reseed() {
    seed.input.value = Math.floor(Math.random() * 2 ** 32);
    changed();
  }

  function say(text) {
    prompt.value = text;
    go();
  }

  function go() {
    if (model.get("busy")) return;
    const wrong = fields.map(({ input }) => input).find((input) => input.offsetParent && !input.checkValidity());
    if (wrong) {
      wrong.focus();
      return tell(`${wrong.name.replace(/_/g, " ")}: ${wrong.validationMessage}`, "wrong");
    }
    if (fresh.input.checked) seed.input.value = Math.floor(Math.random() * 2 ** 32);
    changed();
    ask("draw", { paint: model.get("paint"), mask: model.get("mask"), lines: model.get("lines") });
  }

  function tell(text, kind = "") {
    message.textContent = text;
    message.dataset.kind = kind;
  }

  // ------------------------------------------------------------------------------------------ showing
  function arrange(mode) {
    if (mode !== arranged) drawer.open = mode === "text to image";
    arranged = mode;
    modes.forEach((each) => (each.ariaPressed = each.textContent === mode));
    for (const [name, made] of sheets) made.element.hidden = name !== mode;
    what.textContent = mode === "text to image" ? "" : MODES[mode][1] + ".";
    examples.hidden = !(canvas.hidden = mode === "text to image");
    around.parentElement.hidden = margins.hidden = mode !== "outpaint";
    strength.label.hidden = !STRENGTH[mode];
    scale.label.hidden = mode !== "scribble";
    const { ip_image } = model.get("settings");
    beside.hidden = ip_image === null;
    given.src = pictures.find((each) => each.id === ip_image)?.url ?? "";
    open.hidden = mode === "scribble";
    if (mode === "outpaint") {
      around.src = model.get("image");
      const share = (i) => `${sides[i].input.value / 2}px`;
      around.parentElement.style.padding = [1, 2, 3, 0].map(share).join(" ");
    }
    entitle(mode);
  }

  function entitle(mode) {
    const busy = model.get("busy");
    [draw.textContent, draw.title] = busy ? ["Stop", "stop: Escape"] : [MODES[mode][0], "draw: Enter"];
  }

  // Words that it never read, marked where they stand; below, what to take instead.
  function mark() {
    const { words: unknown = {}, instead = "" } = model.get("unknown");
    echo.replaceChildren();
    for (const part of prompt.value.split(/(\p{L}+)/u)) {
      const strange = Object.hasOwn(unknown, part.toLowerCase());
      echo.append(strange ? make("mark", { textContent: part }) : part);
    }
    echo.scrollLeft = prompt.scrollLeft;
    const said = prompt.value.toLowerCase();
    for (const { chip, word } of chips) chip.ariaPressed = ` ${said} `.includes(` ${word} `);
    line.replaceChildren();
    const names = Object.keys(unknown);
    if (names.length) line.append(`It never read ${names.map((name) => `“${name}”`).join(", ")}. `);
    const near = names.length === 1 ? Object.entries(unknown[names[0]]).filter(([, others]) => others.length) : [];
    for (const [how, others] of near)
      for (const [i, other] of others.entries()) {
        const swap = button(other, `${other} instead of ${names[0]}`, () => replace(names[0], other), "minidiff-link");
        line.append(i ? " " : `${how}: `, swap, " ");
      }
    if (instead && !near.length) line.append("Try ", button(instead, `draw: ${instead}`, () => say(instead), "minidiff-link"));
  }

  function replace(name, other) {
    prompt.value = prompt.value.replace(new RegExp(name, "i"), other);
    changed();
    prompt.focus();
  }

  function view(ids) {
    const found = ids.map((id) => pictures.find((each) => each.id === id)).filter(Boolean);
    frame.classList.toggle("minidiff-several", found.length > 1);
    frame.replaceChildren(
      ...found.map((each) => {
        const image = make("img", { src: each.url, alt: each.caption, className: "minidiff-new-picture" });
        if (found.length === 1) return image;
        const pick = button("", `take ${each.caption}`, () => recall(each.id));
        pick.append(image);
        return pick;
      }),
    );
    caption.textContent = found.length === 1 ? found[0].caption : "Click the one that you like.";
    return found;
  }

  function settle(ids) {
    [shown, follows] = [ids, false];
    const [first] = view(ids);
    for (const each of strip.children) each.ariaPressed = ids.includes(+each.dataset.id);
    if (!first) return;
    [save.href, save.download] = [first.url, first.file];
    code.value = first.code;
    copy.disabled = !first.code;
    edit.parentElement.hidden = ids.length > 1;
  }

  function follow(url) {
    follows = true;
    [live.src, live.alt] = [url, prompt.value];
    if (frame.firstChild === live) return;
    frame.classList.remove("minidiff-several");
    frame.replaceChildren(live);
    caption.textContent = "It follows what you do. Draw keeps it.";
    edit.parentElement.hidden = true;
    for (const each of strip.children) each.ariaPressed = false;
  }

  function recall(id) {
    settle([id]);
    ask("recall", { id });
  }

  async function copied() {
    code.hidden = false;
    code.rows = Math.min(12, code.value.split("\n").length + 1);
    code.select();
    try {
      await navigator.clipboard.writeText(code.value);
      tell("Copied.");
    } catch {
      tell("Press Ctrl C to copy it."); // a page that may not write there
    }
  }

  async function opened(given) {
    if (!given) return;
    const lora = given.name.endsWith(".safetensors");
    if (!lora && !given.type.startsWith("image/")) return tell(`${given.name} is no picture and no LoRA`, "wrong");
    const instead = lora ? ": before the studio, pipe.load_lora(file)" : "";
    const size = `${(given.size / 2 ** 20).toFixed(0)} MB, at most 8 can be opened here${instead}`;
    if (given.size > BIGGEST) return tell(`${given.name} has ${size}`, "wrong");
    const reader = new FileReader();
    reader.onload = () => ask("open", { name: given.name || "a picture", content: reader.result.split(",")[1] });
    reader.readAsDataURL(given);
  }

  function receive({ text, kind, live: url, seconds, pictures: added, all, show }) {
    if (text !== undefined) tell(text, kind);
    if (seconds) pace = Math.min(250, Math.max(25, 500 * seconds));
    if (url && model.get("settings").fast && !model.get("busy")) follow(url);
    if (!added) return;
    pictures = all ? added : [...pictures, ...added];
    for (const each of all ? (strip.replaceChildren(), added) : added) {
      const thumb = button("", each.caption, () => recall(each.id), "minidiff-thumb");
      thumb.dataset.id = each.id;
      thumb.append(make("img", { src: each.url, alt: "" }));
      thumb.onpointerenter = thumb.onfocus = () => model.get("busy") || view([each.id]);
      thumb.onpointerleave = thumb.onblur = () => model.get("busy") || (follows ? follow(live.src) : view(shown));
      strip.prepend(thumb);
    }
    reach(strip);
    strip.scrollLeft = 0;
    settle(show);
    arrange(model.get("settings").mode);
  }

  function progress() {
    const [busy, frames, { mode }] = [model.get("busy"), model.get("frames"), model.get("settings")];
    bar.value = model.get("progress");
    bar.hidden = !busy;
    entitle(mode);
    frame.classList.toggle("minidiff-busy", busy);
    if (!busy) return !follows && shown.length && settle(shown);
    follows = false;
    if (!frames.length) return;
    frame.classList.toggle("minidiff-several", frames.length > 1);
    frame.replaceChildren(...frames.map((url) => make("img", { src: url, alt: "what it expects the picture to be" })));
    caption.textContent = "What it expects the picture to be, so far.";
  }

  // ------------------------------------------------------------------------------------------ keys, drops, wires
  undoes(el, () => sheets.find(([mode]) => mode === model.get("settings").mode)?.[1]);
  el.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && model.get("busy")) ask("stop");
    if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
    if (!event.target.matches("input, select, .minidiff-sheet")) return;
    event.preventDefault();
    go();
  });
  el.addEventListener("dragover", (event) => event.preventDefault());
  el.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    opened(event.dataTransfer.files[0]);
  });
  el.addEventListener("paste", (event) => {
    const [given] = event.clipboardData.files;
    if (!given) return;
    event.preventDefault();
    opened(given);
  });
  file.onchange = () => opened(file.files[0]).then(() => (file.value = ""));
  prompt.onscroll = () => (echo.scrollLeft = prompt.scrollLeft);
  prompt.oninput = () => (mark(), moved());
  for (const { input } of fields) input.oninput = moved;
  fast.input.oninput = () => ask("fast");
  for (const side of sides) side.input.addEventListener("input", () => arrange("outpaint"));
  on("change:settings", write);
  on("change:unknown", mark);
  on("change:image", () => arrange(model.get("settings").mode));
  for (const name of ["busy", "progress", "frames"]) on(`change:${name}`, progress);
  on("msg:custom", receive);
  write();
  progress();
  ask("hello");
  return () => ends.forEach((end) => end());
}

export default { render };
