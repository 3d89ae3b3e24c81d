// Calls digits, tabular and vision: node call.js HOST:PORT CASES.json, where the photograph is base64.
import { readFileSync } from "node:fs";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DigitsMlpService } from "./gen/inferloom/models/digits_mlp/v1/digits_mlp_pb.js";
import { RidgeService } from "./gen/inferloom/models/ridge/v1/ridge_pb.js";
import { VisionService } from "./gen/inferloom/models/vision/v1/vision_pb.js";

const [, , target, file] = process.argv;
const cases = JSON.parse(readFileSync(file, "utf8"));
const transport = createGrpcTransport({ baseUrl: `http://${target}`, defaultTimeoutMs: 30_000 });

const digits = createClient(DigitsMlpService, transport);
const labels = await digits.predict({ rows: cases.pixels.map((pixels: number[]) => ({ pixels })) });
const ridge = await createClient(RidgeService, transport).predict({
  rows: cases.features.map((features: number[]) => ({ features })),
});
const seen = await createClient(VisionService, transport).predict({ photo: Buffer.from(cases.photo, "base64") });

let refused = "";
try {
  await digits.predict({ rows: [{ pixels: [1, 2, 3] }] });
} catch (error) {
  const known = ConnectError.from(error);
  refused = `${Code[known.code]}: ${known.rawMessage}`;
}
console.log(
  JSON.stringify({
    labels: labels.rows.map((row) => Number(row.label)),
    progression: ridge.rows.map((row) => row.progression),
    caption: seen.caption,
    refused,
  }),
);
