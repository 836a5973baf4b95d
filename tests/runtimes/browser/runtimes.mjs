// Arguments: a folder with node_modules, the address of index.html, and a JSON
// file of pictures. Prints what each runtime finds in them, as JSON.

import fs from "node:fs";

import {withPage} from "./with_page.mjs";

const [packages, address, file] = process.argv.slice(2);
const pictures = JSON.parse(fs.readFileSync(file, "utf8"));

const found = await withPage(packages, address, async (page) => {
  await page.waitForFunction("window.runtimes");
  const answers = {};
  for (const name of ["litert", "mediapipe"]) {
    answers[name] = await page.evaluate(
      (name, pictures) => window.runtimes[name](pictures),
      name,
      pictures,
    );
  }
  return answers;
});
console.log(JSON.stringify(found));
