<?php
/**
 * What a replay needs of a cache store.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A cache store as a page sees it: values by definition and key, false where there is none. */
interface Store {
    /** A new page begins: whatever the store does once a page happens here. */
    public function begin(): void;

    public function get(string $definition, string $key): mixed;

    /** All keys asked for, in that order, with their values or false. */
    public function getMany(string $definition, array $keys): array;

    public function set(string $definition, string $key, mixed $value): void;

    public function delete(string $definition, string $key): void;

    /** Round trips (a server) or transactions (an embedded database) that this process made so far. */
    public function roundTrips(): int;
}
