/** PEM files of a TLS connection, as absolute paths; null where the system's own are used, or none. */
export interface TlsFiles {
  caPath: string | null;
  certPath: string | null;
  keyPath: string | null;
}
