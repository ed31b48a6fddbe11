<?php
/**
 * A store on a site that does something else, too.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/stores/store.php';

/** Works before each operation, and more before it stores a value, whose operation has only the name of its file. */
final class WorkingStore implements Store {
    private int $rounds;

    /**
     * @param string $values Directory of the values.
     * @param int $operations Of the page, among which its work is shared.
     * @param int $page Rounds of work of the page.
     * @param int $value Rounds of work for a value that is stored.
     */
    public function __construct(private Store $store, private string $values, int $operations, int $page, private int $value) {
        $this->rounds = intdiv($page, max(1, $operations));
    }

    /** So many rounds, each of a few microseconds of CPU time. */
    public static function work(int $rounds): string {
        $text = str_repeat('moodle', 100);
        for ($digest = ''; $rounds > 0; $rounds--) {
            $digest = md5($digest . $text);
        }
        return $digest;
    }

    public function begin(): void {
        $this->store->begin();
    }

    public function get(string $definition, string $key): mixed {
        self::work($this->rounds);
        return $this->store->get($definition, $key);
    }

    public function getMany(string $definition, array $keys): array {
        self::work($this->rounds);
        return $this->store->getMany($definition, $keys);
    }

    public function set(string $definition, string $key, mixed $value): void {
        self::work($this->rounds + $this->value);
        $this->store->set($definition, $key, unserialize(file_get_contents("{$this->values}/{$value}")));
    }

    public function delete(string $definition, string $key): void {
        self::work($this->rounds);
        $this->store->delete($definition, $key);
    }

    public function roundTrips(): int {
        return $this->store->roundTrips();
    }
}
