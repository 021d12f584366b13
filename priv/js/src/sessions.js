// The state that a worker keeps for each session.

/** @typedef {Record<string, any>} Session */

/**
 * One object per session id. A session that was not used for `ttl` ms is forgotten, and of more than
 * `max` the ones unused for longest. One that a running call holds is never lost: it is only held
 * weakly from then on.
 */
export class Sessions {
  #max;
  #ttl;
  /** @type {Map<string, {session: Session, used: number}>} the one used longest ago comes first */
  #live = new Map();
  /** @type {Map<string, WeakRef<Session>>} */
  #expired = new Map();

  /**
   * @param {number} [max]
   * @param {number} [ttl]
   */
  constructor(max = 10_000, ttl = 3_600_000) {
    this.#max = max;
    this.#ttl = ttl;
  }

  /**
   * The object of a session, an empty one if the session is new.
   *
   * @param {string} id
   */
  get(id) {
    const session = this.#live.get(id)?.session ?? this.#expired.get(id)?.deref() ?? {};
    this.#expired.delete(id);
    this.#live.delete(id);
    this.#live.set(id, { session, used: performance.now() });
    this.#sweep();
    return session;
  }

  /**
   * Forgets a session. Returns its object, undefined if there was none.
   *
   * @param {string} id
   */
  end(id) {
    const session = this.#live.get(id)?.session ?? this.#expired.get(id)?.deref();
    this.#live.delete(id);
    this.#expired.delete(id);
    return session;
  }

  /** The sessions there are. */
  ids() {
    return [...this.#live.keys()];
  }

  #sweep() {
    const oldest = performance.now() - this.#ttl;
    for (const [id, { session, used }] of this.#live) {
      if (this.#live.size <= this.#max && used >= oldest) return;
      this.#live.delete(id);
      this.#expired.set(id, new WeakRef(session));
    }
    for (const [id, held] of this.#expired) if (held.deref() === undefined) this.#expired.delete(id);
  }
}
