// The drawing of the map: points, names and thumbnails on a canvas, moved and zoomed by mouse, touch and keyboard.

const SIDE = 65_535; // the places' own unit
const MARGIN_PX = 36;
const MOST_ZOOM = 400;
const CELL = 64; // cells of the index in each direction
const REACH_PX = 14;
const THUMB_PX = 64;
const LARGE_PX = 144; // of a thumbnail where it is zoomed in
const MOST_THUMBS = 480;
const MOST_NEAR = 2000; // points in the window, up to which pictures are shown
const STEP_PX = 80;

/** The colour of a cluster: golden angles keep neighbours in the list apart. */
export const colourOf = (group, isDark) => `hsl(${Math.round((group * 137.508 + 170) % 360)} ${isDark ? "58% 62%" : "52% 44%"})`;

export class Chart {
  /** `on`: pick(n) of a click or Enter, middle(n) of what a key brought to the middle, thumbs(numbers) to be given to `addThumb`. */
  constructor(canvas, on) {
    this.canvas = canvas;
    this.on = on;
    this.count = 0;
    this.clusters = [];
    this.thumbs = new Map(); // number -> img
    this.fingers = new Map();
    this.all();
    this.observer = new ResizeObserver(() => this.soon());
    this.observer.observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.soon());
    this.#wire();
  }

  /** Show these points: x and y alternating, Uint16Array; and the cluster of each. */
  set(places, groups, clusters) {
    this.places = places;
    this.groups = groups;
    this.clusters = clusters;
    this.count = groups.length;
    this.thumbs.clear();
    const cellOf = (n) => (this.#cell(places[2 * n + 1]) * CELL + this.#cell(places[2 * n]));
    this.starts = new Uint32Array(CELL * CELL + 1);
    for (let n = 0; n < this.count; n++) this.starts[cellOf(n) + 1]++;
    for (let cell = 0; cell < CELL * CELL; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.order = new Uint32Array(this.count);
    for (let n = 0; n < this.count; n++) this.order[next[cellOf(n)]++] = n;
    this.soon();
  }

  addThumb(n, img) {
    this.thumbs.set(n, img);
    this.soon();
  }

  /** Show everything. */
  all() {
    Object.assign(this, { x: SIDE / 2, y: SIDE / 2, zoom: 1 });
    this.soon();
  }

  /** Put a place in the middle. */
  goTo(x, y, zoom) {
    Object.assign(this, { x, y, zoom });
    this.soon();
  }

  /** Zoom by a factor, what is at these pixels of the canvas staying there. */
  zoomBy(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    const { scale, left, top } = this.#frame();
    const [x, y] = [(px - left) / scale, (py - top) / scale];
    this.zoom = Math.min(MOST_ZOOM, Math.max(0.8, this.zoom * factor));
    const after = this.#frame();
    this.x += x - (px - after.left) / after.scale;
    this.y += y - (py - after.top) / after.scale;
    this.soon();
  }

  moveBy(dx, dy) {
    const { scale } = this.#frame();
    this.x = Math.min(SIDE, Math.max(0, this.x - dx / scale));
    this.y = Math.min(SIDE, Math.max(0, this.y - dy / scale));
    this.soon();
  }

  /** The point nearest to these pixels of the canvas; -1 if none is within reach. */
  at(px, py, reach = REACH_PX) {
    const { scale, left, top } = this.#frame();
    let [best, least] = [-1, reach ** 2];
    for (const n of this.#within((px - reach - left) / scale, (py - reach - top) / scale, (px + reach - left) / scale, (py + reach - top) / scale)) {
      const d = (left + this.places[2 * n] * scale - px) ** 2 + (top + this.places[2 * n + 1] * scale - py) ** 2;
      if (d < least) [best, least] = [n, d];
    }
    return best;
  }

  soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#draw();
    });
  }

  #cell = (value) => Math.min(CELL - 1, Math.floor((value * CELL) / (SIDE + 1)));

  #frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = ((Math.max(80, Math.min(width, height) - 2 * MARGIN_PX)) / SIDE) * this.zoom;
    return { width, height, scale, left: width / 2 - this.x * scale, top: height / 2 - this.y * scale };
  }

  *#within(x0, y0, x1, y1) {
    if (!this.count || x1 < 0 || y1 < 0 || x0 > SIDE || y0 > SIDE) return;
    const [c0, c1] = [this.#cell(Math.max(0, x0)), this.#cell(Math.min(SIDE, x1))];
    for (let row = this.#cell(Math.max(0, y0)); row <= this.#cell(Math.min(SIDE, y1)); row++) {
      for (let i = this.starts[row * CELL + c0]; i < this.starts[row * CELL + c1 + 1]; i++) yield this.order[i];
    }
  }

  #draw() {
    const { canvas } = this;
    const frame = this.#frame();
    const { width, height, scale, left, top } = frame;
    if (!width || !this.groups) return;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const visible = [];
    const byGroup = this.clusters.map(() => []);
    for (const n of this.#within(-left / scale, -top / scale, (width - left) / scale, (height - top) / scale)) {
      byGroup[this.groups[n]].push(n);
      visible.push(n);
    }
    const size = Math.max(1.5, Math.min(7, 220 / Math.sqrt(Math.max(1, this.count)) + Math.log2(this.zoom + 0.5) * 0.6));
    context.globalAlpha = this.count > 20_000 && this.zoom < 4 ? 0.6 : 0.9;
    byGroup.forEach((numbers, group) => {
      context.fillStyle = colourOf(group, isDark);
      if (size < 3) for (const n of numbers) context.fillRect(left + this.places[2 * n] * scale - size / 2, top + this.places[2 * n + 1] * scale - size / 2, size, size);
      else {
        context.beginPath();
        for (const n of numbers) {
          const [x, y] = [left + this.places[2 * n] * scale, top + this.places[2 * n + 1] * scale];
          context.moveTo(x + size / 2, y);
          context.arc(x, y, size / 2, 0, 7);
        }
        context.fill();
      }
    });
    context.globalAlpha = 1;
    this.#drawThumbs(context, frame, visible, isDark);
    this.#drawNames(context, frame, isDark);
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) this.#drawMiddle(context, frame, isDark);
  }

  /** Where there is room beside the others: one picture to a square of the window. */
  #drawThumbs(context, { width, height, scale, left, top }, visible, isDark) {
    const small = Math.min(width, height) < 500 ? 44 : THUMB_PX;
    const side = Math.min(LARGE_PX, Math.round(small * (1 + Math.max(0, Math.log2(this.zoom)) / 3)));
    if (visible.length > MOST_NEAR) return;
    const taken = new Set();
    const missing = [];
    for (const n of visible) {
      const [x, y] = [left + this.places[2 * n] * scale, top + this.places[2 * n + 1] * scale];
      // Squares of the map rather than of the window: they stay where they are when it is moved.
      const [column, row] = [Math.floor((x - left) / (side + 6)), Math.floor((y - top) / (side + 6))];
      const key = row * 1_000_000 + column;
      if (taken.has(key) || taken.size >= MOST_THUMBS) continue;
      taken.add(key);
      const img = this.thumbs.get(n);
      if (!img) missing.push(n);
      if (!img?.naturalWidth) continue;
      const [px, py] = [left + column * (side + 6) + 3, top + row * (side + 6) + 3];
      const crop = Math.min(img.naturalWidth, img.naturalHeight);
      context.save();
      context.beginPath();
      context.roundRect(px, py, side, side, 8);
      context.clip();
      context.drawImage(img, (img.naturalWidth - crop) / 2, (img.naturalHeight - crop) / 2, crop, crop, px, py, side, side);
      context.restore();
      context.strokeStyle = colourOf(this.groups[n], isDark);
      context.lineWidth = 2;
      context.beginPath();
      context.roundRect(px, py, side, side, 8);
      context.stroke();
    }
    if (missing.length) this.on.thumbs(missing);
  }

  /** Names of clusters, the largest first, where they cover no other. */
  #drawNames(context, { width, height, scale, left, top }, isDark) {
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.direction = "ltr"; // they are English
    const boxes = [];
    const bySize = this.clusters.map((cluster, n) => ({ ...cluster, n })).sort((a, b) => b.items - a.items);
    for (const { names, x, y, items } of bySize) {
      const text = names.join(" · ");
      const [px, py] = [left + x * scale, top + y * scale];
      const half = context.measureText(text).width / 2 + 9;
      const box = [px - half, py - 12, px + half, py + 12];
      if (!items || box[0] < 2 || box[1] < 2 || box[2] > width - 2 || box[3] > height - 2) continue;
      if (boxes.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      boxes.push(box);
      context.fillStyle = isDark ? "rgb(22 22 20 / .86)" : "rgb(255 255 255 / .88)";
      context.beginPath();
      context.roundRect(box[0], box[1], 2 * half, 24, 12);
      context.fill();
      context.fillStyle = isDark ? "#efede8" : "#1d1c1a";
      context.fillText(text, px, py + 0.5);
    }
  }

  #drawMiddle(context, { width, height }, isDark) {
    context.strokeStyle = isDark ? "#4cc9b0" : "#0b7261";
    context.lineWidth = 2;
    context.beginPath();
    context.arc(width / 2, height / 2, REACH_PX, 0, 7);
    context.stroke();
  }

  #wire() {
    const { canvas, fingers } = this;
    let moved = 0;
    const place = (event) => {
      const { left, top } = canvas.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      if (!fingers.size) moved = 0;
      fingers.set(event.pointerId, place(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
      if (other) {
        const spread = (at) => Math.max(10, Math.hypot(at.x - other.x, at.y - other.y));
        this.zoomBy(spread(now) / spread(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
      }
      this.moveBy((now.x - before.x) / (other ? 2 : 1), (now.y - before.y) / (other ? 2 : 1));
      fingers.set(event.pointerId, now);
    });
    canvas.addEventListener("pointerup", (event) => {
      const isClick = fingers.size === 1 && moved < 6;
      fingers.delete(event.pointerId);
      const { x, y } = place(event);
      if (isClick) this.#pick(x, y);
    });
    canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0018)), x, y);
    }, { passive: false });
    canvas.addEventListener("focus", () => this.soon());
    canvas.addEventListener("blur", () => this.soon());
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
  }

  #pick(x, y) {
    const n = this.at(x, y, this.thumbs.size ? 40 : REACH_PX);
    if (n >= 0) this.on.pick(n);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [STEP_PX, 0], ArrowRight: [-STEP_PX, 0], ArrowUp: [0, STEP_PX], ArrowDown: [0, -STEP_PX] };
    const middle = () => this.at(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2, 4 * STEP_PX);
    if (event.key in moves) this.moveBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.4);
    else if (event.key === "-") this.zoomBy(1 / 1.4);
    else if (event.key === "0" || event.key === "Home") this.all();
    else if (event.key === "Enter") middle() >= 0 && this.on.pick(middle());
    else return;
    event.preventDefault();
    if (event.key !== "Enter" && middle() >= 0) this.on.middle(middle());
  }
}
