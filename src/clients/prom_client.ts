/**
 * The parts of prom-client that the agent uses; its only importer. The package's index also evaluates a push gateway's
 * HTTP client and a registry for `node:cluster`, which cost 8 MB of an idle relay.
 */

import type * as PromClient from "prom-client";
import counter from "prom-client/lib/counter.js";
import gauge from "prom-client/lib/gauge.js";
import histogram from "prom-client/lib/histogram.js";
import registry from "prom-client/lib/registry.js";

export type Counter<Label extends string = string> = PromClient.Counter<Label>;
export type Gauge<Label extends string = string> = PromClient.Gauge<Label>;
export type Histogram<Label extends string = string> = PromClient.Histogram<Label>;
export type Registry = PromClient.Registry;

// The single files have no types of their own.
export const Counter: typeof PromClient.Counter = counter;
export const Gauge: typeof PromClient.Gauge = gauge;
export const Histogram: typeof PromClient.Histogram = histogram;
export const Registry: typeof PromClient.Registry = registry;
