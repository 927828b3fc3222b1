// CQL in, ELM out, through the official translator; called by cds.authoring.translate, which speaks JSON with it:
//   stdin   {modelInfo, options, signatureLevel, files: [{name, text}], libraries: {id: text}}
//   stdout  [{name, elm, messages: [{severity, library, line, column, message}]}]
// With --serve it answers one such object a line, until its input ends.
import { createRequire } from "node:module";
import fs from "node:fs";
import readline from "node:readline";

globalThis.require = createRequire(import.meta.url); // the translator's input library looks for a global require

const write = process.stdout.write.bind(process.stdout);
process.stdout.write = (text, ...rest) => process.stderr.write(text, ...rest); // its logger greets on stdout

// The translator numbers what it makes by random bytes, a few at a time; fetched in bulk they cost next to nothing.
const fill = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
let pool = new Uint8Array(0), taken = 0;
globalThis.crypto.getRandomValues = (array) => {
  if (array.byteLength > 256) return fill(array);
  if (taken + array.byteLength > pool.length) [pool, taken] = [fill(new Uint8Array(65536)), 0];
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(pool.subarray(taken, taken += array.byteLength));
  return array;
};

const cql = await import("@cqframework/cql/cql-to-elm");
const { SystemModelInfoProvider } = await import("@cqframework/cql/cql");
const { default: ucumLhc } = await import("@lhncbc/ucum-lhc");

// The model is read once, however many requests follow.
let modelManager = null;
function modelsOf(path) {
  if (modelManager) return modelManager;
  const modelInfo = fs.readFileSync(path, "utf8");
  modelManager = new cql.ModelManager();
  modelManager.modelInfoLoader.registerModelInfoProvider(new SystemModelInfoProvider()); // not there by default in JavaScript
  modelManager.modelInfoLoader.registerModelInfoProvider(
    cql.createModelInfoProvider((id, _system, version) =>
      id === "FHIR" && (version == null || version === "4.0.1") ? cql.stringAsSource(modelInfo) : null));
  return modelManager;
}

const units = ucumLhc.UcumLhcUtils.getInstance();
const never = () => { throw new Error("units are not converted at translation"); };
const ucum = cql.createUcumService(never, (unit) => {
  const answer = units.validateUnitString(unit);
  return answer.status === "valid" ? null : (answer.msg?.[0] ?? `${unit} is no UCUM unit`);
}, never, never);

// The class of a place is not exported; the part of its printed form that is read here is stable.
function place(locator) {
  const found = /startLine=(\d+), startChar=(\d+)/.exec(String(locator));
  const owner = Object.values(locator ?? {}).find((value) => value && typeof value === "object" && "id" in value);
  return { library: owner?.id ?? null, line: found ? +found[1] : null, column: found ? +found[2] : null };
}

// What was included stays compiled while its text stays what it was.
let manager = null, options = null, given = {};
const served = new Map();
function managerOf(input) {
  given = input.libraries;
  if (manager && options === JSON.stringify([input.options, input.signatureLevel]) &&
      [...served].every(([id, text]) => given[id] === text)) return manager;
  options = JSON.stringify([input.options, input.signatureLevel]);
  served.clear();
  const compiler = cql.CqlCompilerOptions.defaultOptions();
  const chosen = compiler.options.asJsSetView();
  for (const option of cql.CqlCompilerOptions.Options.values()) chosen.delete(option);
  for (const name of input.options) chosen.add(cql.CqlCompilerOptions.Options.valueOf(name));
  compiler.signatureLevel = cql.LibraryBuilder.SignatureLevel.valueOf(input.signatureLevel);
  compiler.compatibilityLevel = "1.5";
  manager = new cql.LibraryManager(modelsOf(input.modelInfo), compiler, null, ucum);
  manager.librarySourceLoader.registerProvider(cql.createLibrarySourceProvider((id) => {
    served.set(id, given[id]);
    return id in given ? cql.stringAsSource(given[id]) : null;
  }));
  return manager;
}

function translated(input) {
  const libraryManager = managerOf(input);
  return input.files.map(({ name, text }) => {
    const translator = cql.CqlTranslator.fromText(text, libraryManager);
    const messages = [...translator.exceptions.asJsReadonlyArrayView()].map((exception) =>
      ({ severity: exception.severity.name, message: exception.message, ...place(exception.locator) }));
    return { name, elm: JSON.parse(translator.toJson()), messages };
  });
}

if (process.argv.includes("--serve")) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    write(JSON.stringify(translated(JSON.parse(line))) + "\n");
  }
} else {
  write(JSON.stringify(translated(JSON.parse(fs.readFileSync(0, "utf8")))));
}
