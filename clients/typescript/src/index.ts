export { LookalikeClient, type ClientOptions } from "./client.js";
export {
  AccessDeniedError,
  ConnectionError,
  DeadlineError,
  InputError,
  LookalikeError,
  ModelError,
  ServiceError,
  SpaceMismatchError,
  StoreError,
  type ErrorFacts,
} from "./errors.js";
export type { RetryPolicy } from "./transport.js";
export type * from "./types.js";
