/**
 * Examples to begin with.
 *
 * Owns the made-up house. All of it is one push.
 */

import { insertion, push } from "./hub.js";
import { html } from "./html.js";
import { toast } from "./toast.js";

const HOUR_MS = 3_600_000;
const AUTHORS = ["Ines Costa", "Leo Brandt", "Katya Ivanov", "Hugo Lund"];

const CATEGORIES = [
  ["Contracts", "#6366f1", "Agreements with partners"],
  ["Invoices", "#0ea5e9", "In and out"],
  ["Personnel", "#ec4899", "Confidential"],
  ["Technical", "#14b8a6", "Drawings and manuals"],
  ["Correspondence", "#f59e0b", "Letters of all kinds"],
  ["Permits", "#84cc16", "From authorities"],
];
const REGISTRATORS = [
  ["Head office", "HQ-01", "Lisbon, ground floor"],
  ["Archive", "AR-02", "Lisbon, basement"],
  ["Works North", "WN-07", "Porto"],
  ["Works South", "WS-04", "Faro"],
];
const GROUPS = [
  ["Registry", "#6366f1", "Enters and files"],
  ["Legal", "#ec4899", "Reads and signs"],
  ["Accounting", "#0ea5e9", "Invoices"],
  ["Guests", "#94a3b8", "May look"],
];
const USERS = ["Ines Costa", "Leo Brandt", "Katya Ivanov", "Hugo Lund", "Ada Fischer", "Bruno Egger", "Greta Holm", "Farid Adler", "Elif Jansen", "Jonas Grau"];
const FILES = [
  ["Lease agreement, Rua Augusta 14", 0], ["Framework agreement Atlas Freight", 0], ["Non-disclosure, Nordwind Labs", 0],
  ["Supplier contract 2026, Casa Verde", 0], ["Insurance policy, warehouse", 0], ["Invoice 2026-118, Atlas Freight", 1],
  ["Invoice 2026-119, Casa Verde", 1], ["Invoice 2026-120, print works", 1], ["Reminder for invoice 2026-074", 1],
  ["Annual statement 2025", 1], ["Employment contract, G. Holm", 2], ["Holiday plan, second half", 2], ["Training certificate, crane", 2],
  ["Drawing 4711-B, gearbox", 3], ["Drawing 4711-C, gearbox housing", 3], ["Manual, packing line 2", 3], ["Test report, bearing 6204", 3],
  ["Maintenance log, compressor", 3], ["Parts list, packing line 2", 3], ["Letter to the chamber of commerce", 4],
  ["Answer of the city council", 4], ["Complaint, delivery 8841", 4], ["Thank-you note, open day", 4], ["Minutes, works council in May", 4],
  ["Building permit, hall C", 5], ["Fire safety certificate, hall A", 5], ["Emission permit, boiler", 5], ["Noise survey, yard", 5],
];

/** Adds the examples. */
export async function fillWithSamples() {
  const now = Date.now();
  const pick = (list, index) => list[index % list.length];
  const sign = (index) => ({ by: pick(AUTHORS, index), at: now - Math.round(((index * 7) % 31) * 0.7 * HOUR_MS) });
  const make = (collection, list, fields) => list.map((entry, index) => insertion(collection, { ...fields(entry, index), ...sign(index) }));
  const categories = make("categories", CATEGORIES, ([name, color, note]) => ({ name, color, note }));
  const registrators = make("registrators", REGISTRATORS, ([name, code, place]) => ({ name, code, place }));
  const groups = make("groups", GROUPS, ([name, color, note]) => ({ name, color, note }));
  const users = make("users", USERS, (name, index) => ({
    name,
    email: `${name.toLowerCase().replace(" ", ".")}@registry.example`,
    group: pick(groups, index).id,
    active: index % 5 !== 4,
  }));
  const files = make("files", FILES, ([name, category], index) => ({
    name,
    category: categories[category].id,
    registrator: pick(registrators, index * 3 + category).id,
    status: pick(["signed", "review", "draft", "signed"], index),
    pages: 1 + ((index * 13) % 42),
    note: "",
  }));
  const ops = [...categories, ...registrators, ...groups, ...users, ...files];
  await push(ops);
  toast(html`Added <b>${ops.length}</b> examples`);
}
