/** A failure that the operator can do something about; its message says what. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}
