/** Which rule set a field: told while a message is mapped, and only where somebody asked. */

/** `why` is one clause, such as `from 'data.host' (--map_key_summary)`. */
export type Explain = (field: string, why: string) => void;
