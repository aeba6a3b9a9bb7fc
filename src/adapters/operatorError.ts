/** A failure that the operator can do something about; its message says what. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}

/** The same, and it is the fault of what was typed: it cannot be read, whatever is in the store. */
export class UsageError extends OperatorError {}
