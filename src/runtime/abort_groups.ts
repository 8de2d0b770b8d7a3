/** Ends very many short waits by one listener on each signal, instead of one for each wait. */

export class AbortGroups {
  readonly #groups = new Map<AbortSignal, Set<() => void>>();

  /** Calls `onAbort` once when `signal` is aborted, unless the answer was called before. The signal must not be aborted yet. */
  add(signal: AbortSignal, onAbort: () => void): () => void {
    const group = this.#groups.get(signal) ?? this.#listenTo(signal);
    group.add(onAbort);
    return () => group.delete(onAbort);
  }

  /** A signal is listened to until it is aborted: it belongs to a connection or a run, and those are few. */
  #listenTo(signal: AbortSignal): Set<() => void> {
    const group = new Set<() => void>();
    this.#groups.set(signal, group);
    signal.addEventListener("abort", () => {
      this.#groups.delete(signal);
      for (const onAbort of group) onAbort();
    }, { once: true });
    return group;
  }
}
