/** The agent's own HTTP server. */

import type { ServerConfig } from "../server/http_server.ts";
import type { FlagValues } from "./flags.ts";

/** Null without `--port`: no server. */
export function serverConfig({ port, host, intake_token }: FlagValues): ServerConfig | null {
  return port === undefined ? null : { hostname: host, port, intakeToken: intake_token ?? null };
}
