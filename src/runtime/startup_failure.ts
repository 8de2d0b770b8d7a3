/**
 * Why the agent cannot start, as one line for the operator. Exit code 2: the configuration must change;
 * 1: something outside it is in the way.
 */
export class StartupFailure extends Error {
  constructor(message: string, readonly exitCode: 1 | 2, options?: ErrorOptions) {
    super(message, options);
  }
}
