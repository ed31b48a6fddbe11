<?php
// Decodes arbitrary and mutated payloads until the time is over. `run-fuzz` runs it under valgrind.
//
// Usage: php fuzz.php SECONDS SEED     Each round of payloads follows from its seed alone; `fuzz.php 0 SEED` is one round.

require __DIR__ . '/../../php-ext/tests/generate.inc';
require __DIR__ . '/../../php-ext/tests/mutate.inc';
[, $seconds, $seed] = array_map('intval', $argv) + [1 => 60, 2 => 1];
error_reporting(E_ALL & ~E_DEPRECATED & ~E_WARNING & ~E_NOTICE);
spl_autoload_register(fn() => null);

class Custom implements Serializable {
    public $data;
    public function serialize() {
        return serialize($this->data);
    }
    public function unserialize($data) {
        $this->data = @unserialize($data);
    }
}

/** Both ways of a payload to a value: to the request's heap, and into memory and out of it. */
function attempt(string $payload): void {
    try {
        larder_probe_decode($payload);
    } catch (Throwable) {
    }
    try {
        $near = larder_probe_near($payload);
        larder_probe_near_get($near);
        larder_probe_near_get($near);
    } catch (Throwable) {
    }
    if (isset($near)) {
        larder_probe_near_drop($near);
    }
}

/** An extension of the payload format. */
function extension(int $kind, string $data): string {
    return "\xc9" . pack('N', strlen($data)) . chr($kind) . $data;
}

/** A text as serialize() writes it, one of its tokens changed. */
function mutate_serialized(string $text): string {
    $tokens = preg_split('/(?<=[;{}":])/', $text);
    for ($times = mt_rand(1, 3); $times > 0; $times--) {
        $at = mt_rand(0, count($tokens) - 1);
        $tokens[$at] = match (mt_rand(0, 8)) {
            0 => '',
            1 => $tokens[$at] . $tokens[$at],
            2 => preg_replace('/\d+/', (string)pick([0, 1, 2, 255, 65536, -1, PHP_INT_MAX, '00009', '9999999999999999999999']), $tokens[$at]),
            3 => pick($tokens),
            4 => pick(['R:1;', 'r:2;', 'R:3;', 'N;', 'i:1;', 'a:1:{', 'O:8:"stdClass":1:{', 'C:6:"Custom":4:{i:1;}', 'E:11:"Suit:Hearts";', 'E:4:"Suit";', '}']),
            5 => substr($tokens[$at], 0, mt_rand(0, strlen($tokens[$at]))),
            6 => $tokens[$at] . chr(mt_rand(0, 255)),
            7 => strtr($tokens[$at], ['s' => 'S', 'O' => 'C', 'a' => 'O', 'i' => 'd']),
            8 => strtr($tokens[$at], ['stdClass' => 'Missing', 'Plain' => 'Typed', 'Hooked' => 'Sleepy']),
        };
    }
    $text = implode('', $tokens);
    return mt_rand(0, 2) ? $text : substr($text, 0, mt_rand(0, strlen($text)));
}

/** One round: everything in it follows from the seed. */
function round_of(int $seed): int {
    $maker = new ValueMaker($seed);
    $count = 0;
    for ($i = 0; $i < 20; $i++) {
        $value = $maker->top();
        try {
            $payload = larder_probe_encode($value);
            $custom = new Custom;
            $custom->data = $value;
            $text = serialize(mt_rand(0, 3) ? $value : [1, $custom, $custom]);
        } catch (Throwable) {
            continue;
        }
        $payload = substr((string)$payload, 0, 4000);
        $text = substr($text, 0, 4000);
        for ($j = 0; $j < 10; $j++, $count += 3) {
            attempt(mutate($payload));
            attempt(extension(4, mutate_serialized($text)));
            attempt(mt_rand(0, 9) ? extension(4, substr($text, 0, mt_rand(0, strlen($text))) . str_repeat('9', mt_rand(0, 9))) : random_payload());
        }
    }
    return $count;
}

$count = 0;
for ($first = $seed, $end = hrtime(true) + $seconds * 1_000_000_000; ; $seed++) {
    // Written before the round, so that the last one is that of the fault.
    file_put_contents('php://stderr', "seed $seed\n");
    $count += round_of($seed);
    larder_probe_new_request();
    if (hrtime(true) >= $end) {
        break;
    }
}
echo "$count payloads, seeds $first to $seed\n";
