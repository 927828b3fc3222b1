// The JavaScript reference engine (cql-execution with cql-exec-fhir), for comparison; called by benchmarks/reference.py:
//   node run.mjs '{"elm": [FILE], "valueSets": [FILE], "libs": [ID], "now": ISO}'
// then a line of JSON on stdin for each patient, and a line on stdout for each answer:
//   {"file": FILE, "values": false}  ->  {"parse": ms, "load": ms, "execute": ms, "rss": bytes}
//   {"file": FILE, "values": true}   ->  the same and "values": {library: {define: value}}
// The first line out says what is running, and how long it took to load.
import { createRequire } from "node:module";
import fs from "node:fs";
import readline from "node:readline";
import zlib from "node:zlib";

process.env.TZ = "UTC";
const began = performance.now();
const { default: cql } = await import("cql-execution");
const { default: fhir } = await import("cql-exec-fhir");

const readJson = (file) => {
  const bytes = fs.readFileSync(file);
  return JSON.parse(file.endsWith(".gz") ? zlib.gunzipSync(bytes) : bytes);
};
const request = JSON.parse(process.argv[2]);

const elm = {};
for (const file of request.elm) {
  const library = readJson(file);
  elm[library.library.identifier.id] = library;
}
const sets = {};
for (const file of request.valueSets) {
  const { url, version, expansion, compose } = readJson(file);
  const listed = expansion?.contains
    ?? compose.include.flatMap(({ system, concept }) => concept.map((item) => ({ system, ...item })));
  (sets[url] ??= {})[version ?? ""] = listed.map(({ code, system, display }) => ({ code, system, display }));
}
const codes = new cql.CodeService(sets);
const repository = new cql.Repository(elm);
const executors = new Map(request.libs.map((id) =>
  [id, new cql.Executor(new cql.Library(elm[id], repository), codes, {})]));
const source = fhir.PatientSource.FHIRv401();
const now = cql.DateTime.parse(request.now);

// A patient source of one patient, read as often as there are libraries.
const only = (patient) => {
  let here = true;
  return { currentPatient: () => (here ? patient : undefined), nextPatient: () => { here = false; } };
};

// A value in the format of `cds evaluate` (cds/authoring/result_format.py).
const RULES = [
  [(v) => v.isUncertainty, (v) => ({ "@uncertainty": [plain(v.low), plain(v.high)] })],
  [(v) => v.isInterval, (v) => ({ "@interval": [plain(v.low), plain(v.high), v.lowClosed, v.highClosed] })],
  [(v) => v.isDateTime && v.isTime(), (v) => ({ "@time": v.toString().replace(/^.*T/, "").replace(/Z$|[+-]\d\d:\d\d$/, "") })],
  [(v) => v.isDateTime, (v) => ({ "@datetime": v.toString() })],
  [(v) => v.isDate, (v) => ({ "@date": v.toString() })],
  [(v) => v.isQuantity, (v) => ({ "@quantity": [plain(v.value), v.unit ?? "1"] })],
  [(v) => v.isRatio, (v) => ({ "@ratio": [plain(v.numerator), plain(v.denominator)] })],
  [(v) => v.isCode, (v) => ({ "@code": pair(v) })],
  [(v) => v.isConcept, (v) => ({ "@concept": v.codes.map(pair) })],
  [(v) => v.isValueSet, (v) => ({ "@valueset": v.oid ?? v.id })],
  [(v) => v.getTypeInfo, (v) => ofFhir(v)],
];
const pair = ({ system, code }) => [system ?? null, code ?? null];
function ofFhir(element) {
  const name = element.getTypeInfo()?.name ?? null;
  const json = element._json ?? element.json;
  if (json?.resourceType) return { "@resource": `${json.resourceType}/${json.id}` };
  const bare = json && typeof json === "object" && Object.keys(json).length === 1 && "value" in json;
  return { "@fhir": [name, bare ? json.value : json ?? null] };
}
function plain(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return { "@long": String(value) };
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plain);
  const rule = RULES.find(([fits]) => fits(value));
  if (rule) return rule[1](value);
  return { "@tuple": Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)])) };
}

// Every definition of a library; where the library fails as a whole, one by one, so that the others go on.
async function valuesOf(executor, patient) {
  const keep = (all) => Object.fromEntries(
    Object.entries(Object.values(all.patientResults)[0] ?? {}).filter(([name]) => name !== "Patient"));
  const written = (found) => Object.fromEntries(Object.entries(found).map(([name, value]) => [name, plain(value)]));
  try {
    return written(keep(await executor.exec_patient_context(only(patient), now)));
  } catch {
    const found = {};
    for (const [name, expression] of Object.entries(executor.library.expressions)) {
      if (name === "Patient" || expression.context !== "Patient" || expression.constructor.name === "FunctionDef") continue;
      try {
        Object.assign(found, written(keep(await executor.exec_expression(name, only(patient), now))));
      } catch (error) {
        found[name] = { "@error": String(error?.message ?? error) };
      }
    }
    return found;
  }
}

async function answer({ file, values }) {
  const bytes = fs.readFileSync(file);
  const text = (file.endsWith(".gz") ? zlib.gunzipSync(bytes) : bytes).toString("utf8");
  const start = performance.now();
  const bundle = JSON.parse(text);
  const parsed = performance.now();
  source.reset();
  source.loadBundles([bundle]);
  const patient = source.currentPatient();
  const loaded = performance.now();
  const found = {};
  for (const [id, executor] of executors) {
    if (values) found[id] = await valuesOf(executor, patient);
    else {
      try {
        await executor.exec_patient_context(only(patient), now);
      } catch (error) {
        found["@failed"] = id; // what it threw away is not timed: said, so that no one takes it for speed
      }
    }
  }
  const done = performance.now();
  const times = { parse: parsed - start, load: loaded - parsed, execute: done - loaded, rss: process.memoryUsage().rss };
  return values ? { ...times, values: found } : { ...times, failed: found["@failed"] ?? null };
}

const version = (name) => {
  const folder = createRequire(import.meta.url).resolve(name).replace(/(node_modules\/[^/]+)\/.*/, "$1");
  return `${name} ${JSON.parse(fs.readFileSync(`${folder}/package.json`)).version}`;
};
const say = (content) => process.stdout.write(`${JSON.stringify(content)}\n`);
say({
  engine: `${version("cql-execution")} + ${version("cql-exec-fhir")}`,
  node: process.version, load: performance.now() - began, rss: process.memoryUsage().rss,
});
for await (const line of readline.createInterface({ input: process.stdin })) say(await answer(JSON.parse(line)));
