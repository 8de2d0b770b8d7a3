/** Keys that start so are pinged at the API; all others at the heartbeat host. */
export const LEGACY_HEARTBEAT_KEY = "il1hbt";
