<?php
/**
 * A recorded request, made ready to be played.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/**
 * What one request does to a store.
 *
 * A recorded set of a key that the request had read before is the application's answer to what it read: it filled the
 * cache after a miss. Where the read hits, an application does not compute the value and does not set it, so a replay
 * performs such a *fill* only if its own read missed. A set without a read, or after a delete, is always performed.
 */
final class Page {
    /** A read whose outcome decides about fills has the operation "look" or "look_many". */
    private const DECIDING = ['get' => 'look', 'get_many' => 'look_many'];

    /**
     * @param list<array{string, string, string|list<string>, mixed}> $ops Operation, definition, key or keys, and the
     *     value of a "set" or "fill". Locks are left out: no store here has them all.
     * @param int $writes How many of them write whatever is read.
     */
    private function __construct(public readonly array $ops, public readonly int $writes) {
    }

    /**
     * The same request on a site that computes and stores whatever it misses, as one does whose cache was lost.
     *
     * @param array<string, array<string, mixed>> $values The recorded values by definition and key.
     */
    public function refilling(array $values): array {
        $ops = [];
        foreach ($this->ops as $op) {
            [$operation, $definition, $keys] = $op;
            if ($operation === 'fill') {
                continue;
            }
            $operation = self::DECIDING[$operation] ?? $operation;
            $ops[] = [$operation, $definition, $keys, $op[3]];
            if (in_array($operation, self::DECIDING, true)) {
                foreach (array_intersect((array)$keys, array_keys($values[$definition] ?? [])) as $key) {
                    $ops[] = ['fill', $definition, $key, $values[$definition][$key]];
                }
            }
        }
        return $ops;
    }

    /**
     * Makes a recorded request ready.
     *
     * @param array<int, array> $recorded Its operations.
     * @param array<string, array<string, mixed>> $values The recorded values by definition and key.
     * @param array<string, string> $names The definitions' names by themselves; new ones are added.
     */
    public static function of(array $recorded, array $values, array &$names): self {
        $ops = $reads = [];
        $writes = 0;
        foreach ($recorded as [$operation, $definition, $keys]) {
            if ($operation === 'lock' || $operation === 'unlock') {
                continue;
            }
            // One string for each definition: who asks a store holds it, and looks up none.
            $definition = $names[$definition] ??= $definition;
            $op = [$operation, $definition, $keys, null];
            foreach ((array)$keys as $key) {
                $read = &$reads[$definition][$key];
                if (isset(self::DECIDING[$operation])) {
                    $read = count($ops);
                } else if ($operation === 'delete') {
                    $read = null;
                    $writes++;
                } else if ($operation === 'set') {
                    $op[3] = $values[$definition][$key];
                    if ($read === null) {
                        $writes++;
                    } else {
                        $op[0] = 'fill';
                        $ops[$read][0] = self::DECIDING[$ops[$read][0]] ?? $ops[$read][0];
                    }
                } else {
                    throw new \LogicException("no way to replay the operation {$operation}");
                }
                unset($read);
            }
            $ops[] = $op;
        }
        return new self($ops, $writes);
    }
}
