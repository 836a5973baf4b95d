// A student's .tflite file, run by LiteRT.js.

import {Tensor, loadAndCompile, loadLiteRt} from "@litertjs/core";

import {labelsInside} from "./labels.js";

const WASM = "/node_modules/@litertjs/core/wasm/";

export class Classifier {
  // `model` and `labels` are addresses; the second is asked only if there are
  // no labels inside the model's file.
  static async load(model, labels) {
    const file = new Uint8Array(await (await get(model)).arrayBuffer());
    await loadLiteRt(WASM);
    const compiled = await loadAndCompile(file, {accelerator: "wasm"});
    const text = labelsInside(file) ?? (await (await get(labels)).text());
    const names = text.trimEnd().split(/\r?\n/);
    const classifier = new Classifier(compiled, names);
    // The first run is a slow one: what it allocates is kept.
    await classifier.#run(new Float32Array(classifier.#size));
    return classifier;
  }

  #model;

  constructor(model, labels) {
    const [input, ...others] = model.getInputDetails();
    const [batch, height, width, channels] = input.shape;
    const known = batch === 1 && [1, 3].includes(channels) && !others.length;
    if (!known || input.dtype !== "float32") {
      throw new Error(
        `it takes ${input.dtype} of shape [${input.shape}]; this page feeds ` +
          "one image, gray or RGB, as float32",
      );
    }
    const classes = model.getOutputDetails()[0].shape.at(-1);
    if (labels.length !== classes) {
      throw new Error(`it has ${classes} classes, but ${labels.length} labels`);
    }
    this.#model = model;
    Object.assign(this, {height, width, channels, labels});
  }

  // The labels with their scores. `seen` is a canvas: on it the image is put
  // at the student's size.
  async classify(image, seen) {
    const input = this.#pixels(image, seen);
    const start = performance.now();
    const scores = await this.#run(input);
    const milliseconds = performance.now() - start;
    return {
      scores: this.labels.map((label, i) => ({label, score: scores[i]})),
      milliseconds,
    };
  }

  get #size() {
    return this.height * this.width * this.channels;
  }

  async #run(pixels) {
    const shape = [1, this.height, this.width, this.channels];
    const input = new Tensor(pixels, shape);
    const [output] = await this.#model.run(input);
    const scores = await output.data();
    // Both lie in WebAssembly's memory, where nothing is collected.
    input.delete();
    output.delete();
    return scores;
  }

  // 0..255 as float32, row by row: normalization is inside the model.
  #pixels(image, seen) {
    const {width, height} = this;
    Object.assign(seen, {width, height});
    const context = seen.getContext("2d", {willReadFrequently: true});
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white"; // Behind transparent images.
    context.fillRect(0, 0, width, height);
    context.drawImage(image, ...this.#crop(image), 0, 0, width, height);
    const picture = context.getImageData(0, 0, width, height);
    const {data} = picture;
    const pixels = new Float32Array(this.#size);
    for (let i = 0; i < data.length / 4; i++) {
      const rgb = data.subarray(4 * i, 4 * i + 3);
      if (this.channels === 1) rgb.fill(luma(rgb));
      pixels.set(rgb.subarray(0, this.channels), this.channels * i);
    }
    context.putImageData(picture, 0, 0);
    return pixels;
  }

  // The middle of the image with the student's proportions: left, top, width
  // and height.
  #crop({width, height}) {
    const scale = Math.min(width / this.width, height / this.height);
    const [w, h] = [scale * this.width, scale * this.height];
    return [(width - w) / 2, (height - h) / 2, w, h];
  }
}

// ITU-R BT.601, as Pillow turns RGB into gray.
function luma([red, green, blue]) {
  return Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server has no ${address}`);
  return answer;
}
