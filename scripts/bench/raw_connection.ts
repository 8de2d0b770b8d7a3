/**
 * One HTTP/1.1 connection that is kept alive, one request at a time. `fetch` costs more per request than a bare
 * `Deno.serve` does: a load generator made of it would measure itself.
 */

const ANSWER_BYTES_MAX = 64 * 1024;
const HEAD_END = "\r\n\r\n";
const LENGTH_FIELD = /\r\ncontent-length: *(\d+)/i;

export class RawConnection implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #buffer = new Uint8Array(ANSWER_BYTES_MAX);
  readonly #decoder = new TextDecoder("latin1");

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    connection.setNoDelay(true);
    return new RawConnection(connection);
  }

  /** Sends a whole request and answers with the status once the whole answer is there. */
  async exchange(request: Uint8Array): Promise<number> {
    let sent = await this.#connection.write(request);
    while (sent < request.length) sent += await this.#connection.write(request.subarray(sent));
    for (let length = 0, end: number | null = null;;) {
      const read = await this.#connection.read(length === 0 ? this.#buffer : this.#buffer.subarray(length));
      if (read === null) throw new Error("The connection was closed before the answer was complete");
      length += read;
      end ??= answerEnd(this.#decoder.decode(this.#buffer.subarray(0, length)));
      if (end !== null && length >= end) return Number(this.#decoder.decode(this.#buffer.subarray(9, 12)));
      if (length === ANSWER_BYTES_MAX) throw new Error("An answer is larger than the load generator reads");
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/** `length` in bytes. */
export function postHead(host: string, path: string, length: number): string {
  return `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n` +
    `content-length: ${length}\r\n\r\n`;
}

/** Where the answer ends that begins so, in bytes; null while its head is not complete. */
function answerEnd(latin1: string): number | null {
  const headEnd = latin1.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  if (latin1.startsWith("HTTP/1.1 204")) return headEnd + HEAD_END.length;
  const bodyLength = LENGTH_FIELD.exec(latin1)?.[1];
  if (bodyLength === undefined) {
    throw new Error("The load generator reads only answers that name their length");
  }
  return headEnd + HEAD_END.length + Number(bodyLength);
}
