/** The sum that shows no event was lost: `accepted = delivered + purged + queued + dead`, at all times. */

export interface Ledger {
  /** Ever made durable, imported rows included. */
  accepted: number;
  /** Taken by ilert. */
  delivered: number;
  /** Removed by an operator. */
  purged: number;
}

export interface RowCounts {
  queued: number;
  dead: number;
}

/** Events the rows do not account for: positive where some are missing, negative where some were never counted. */
export function unaccounted(ledger: Ledger, rows: RowCounts): number {
  return ledger.accepted - (ledger.delivered + ledger.purged + rows.queued + rows.dead);
}
