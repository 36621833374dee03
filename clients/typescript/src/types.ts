/** A picture: the bytes of its file. */
export type ImageBytes = Uint8Array | ArrayBuffer | Blob;

/** What a call may be given beside its input. */
export interface CallOptions {
  /** Milliseconds after which the call is over, all its requests and pauses included; the client's if left out. */
  timeoutMs?: number | undefined;
  /** Ends the call when it is aborted; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** That words were read by another model than the pictures' own: the answer is near, and not exact. */
export interface Approximation {
  /** What read the words. */
  source: string;
  /** A sentence for people. */
  note: string;
  /** What was measured on texts that it had not seen, by name; empty if nothing was. */
  agreement: Record<string, number>;
}

/** One vector, and who it is. */
export interface Embedding {
  /** `dimensions` numbers, of unit length. */
  vector: Float32Array;
  dimensions: number;
  /** Vectors may be compared if and only if their spaces are equal. */
  space: string;
  model: string;
  /** A sentence if there is something to know, such as a text that was cut; else undefined. */
  warning: string | undefined;
  /** What read the text, if not the model of the space. */
  approximation: Approximation | undefined;
}

/** Why one input of a batch has no vector. */
export interface ItemFailure {
  /** Its place in the batch. */
  index: number;
  /** The error's class at the service: "ImageError", "TooLarge", ... */
  type: string;
  /** A sentence, without a name for the input. */
  message: string;
  retryable: boolean;
  /** Milliseconds after which it may be asked for again, where the service says so. */
  retryAfterMs?: number | undefined;
}

/** What to know of one input of a batch. */
export interface ItemWarning {
  index: number;
  message: string;
}

/** The vectors of a batch, in its order. */
export interface Embeddings {
  /** null where an input failed; `failures` says why. */
  vectors: (Float32Array | null)[];
  failures: ItemFailure[];
  warnings: ItemWarning[];
  /** 0 if nothing was asked. */
  dimensions: number;
  /** Empty if nothing was asked. */
  space: string;
  /** Empty if nothing was asked. */
  model: string;
  /** What read the texts, if not the model of the space. */
  approximation: Approximation | undefined;
}

/** One thing to look for. A picture is the bytes of its file; an item is named by its id. */
export type QueryPart = { text: string } | { image: ImageBytes } | { item: string } | { vector: ArrayLike<number> };

/** One thing to look for, or several: their weights say how much each counts; below 0 moves away from it. */
export type SearchQuery = QueryPart | { query: (QueryPart & { weight?: number })[] };

/** Which answers are wanted. */
export interface SearchOptions extends CallOptions {
  /** At most so many; 10 if left out. */
  limit?: number | undefined;
  /** Only items of this project. */
  project?: string | undefined;
  /** 0 to 1; from 0.5 on a hit counts as related. */
  minConfidence?: number | undefined;
  /** Only items with all of this metadata. */
  where?: Record<string, string> | undefined;
}

/** One picture of the index. */
export interface Item {
  id: string;
  project: string;
  /** Where the picture is: a path on the service's machine, or a URL. */
  uri: string;
  /** sha256 of its bytes; several items may share one. */
  content: string;
  caption: string;
  metadata: Record<string, string>;
}

/** One answer to a query. */
export interface Hit {
  item: Item;
  /** Cosine, -1 to 1; not comparable between words and pictures. */
  similarity: number;
  /** 0 to 1; from 0.5 on it counts as related. Comparable. */
  confidence: number;
}

/** The answer to a query, best first. */
export interface SearchResult {
  hits: Hit[];
  /** The space that was searched. */
  space: string;
  /** How many items the filter let through. */
  considered: number;
  warnings: string[];
  /** What read the words, if not the text model of the index; its note is among the warnings. */
  approximation: Approximation | undefined;
}

/** Where a picture that is handed in comes from: the bytes of its file, an object of a bucket ("s3://bucket/key"), or a URL. */
export type PictureSource = { image: ImageBytes } | { uri: string };

/** A picture to hand in, and what its item shall be. */
export type NewItem = PictureSource & {
  /** Its name, unique within the project; an item that is there already is replaced. Left out, its uri, or of bytes their sha256. */
  id?: string | undefined;
  /** The service's own, or the key's only one, if left out. */
  project?: string | undefined;
  caption?: string | undefined;
  metadata?: Record<string, string> | undefined;
};

/** "done": it is found. "dead": it cannot be indexed. */
export type JobState = "waiting" | "working" | "done" | "dead";

/** What has become of a picture that was handed in. */
export interface Job {
  /** Its number; `job` asks with it. */
  job: number;
  /** The item that the picture becomes. */
  id: string;
  project: string;
  state: JobState;
  /** How often it has been begun. */
  attempts: number;
  /** Why the last attempt failed; empty if none has. */
  reason: string;
}

/** What has become of pictures that were handed in together. */
export interface AddedItems {
  /** null where a picture was not taken in; `failures` says why. */
  jobs: (Job | null)[];
  failures: ItemFailure[];
}
