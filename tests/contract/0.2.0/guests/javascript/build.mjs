// Makes a component with SpiderMonkey: node build.mjs OUTPUT, where componentize-js is installed.
// Without http and fetch-event disabled the component imports wasi:http, which no host of Persea has.
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, worldName, output] = process.argv.slice(2);
const disableFeatures = ["http", "fetch-event", "random", "stdio", "clocks"];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(output, component);
