<?php
// The driver behind run-fpm: makes up the work of the pages and knows what each read may find.

require __DIR__ . '/server.php';
require __DIR__ . '/values.php';
require __DIR__ . '/gap.php';
require __DIR__ . '/../../../php-ext/tests/near.inc';
require __DIR__ . '/../../../php-ext/tests/store.inc';

const PAGE = __DIR__ . '/page.php';
const KEYS = 120;

/** What may be read: for each key the versions that are possible, null for no entry. */
final class Model {
    private array $possible = [];
    private int $last = 0;

    public function __construct() {
        for ($key = 0; $key < KEYS; $key++) {
            $this->possible["k$key"] = [null];
        }
    }

    public function check(string $key): array {
        return ['check', $key, $this->possible[$key]];
    }

    /** A write of a key that its own page sees at once. */
    public function write(string $key): array {
        if (mt_rand(0, 4) === 0) {
            $this->possible[$key] = [null];
            return ['delete', $key];
        }
        $this->possible[$key] = [++$this->last];
        return ['set', $key, $this->last];
    }

    public function purge(): array {
        array_walk($this->possible, function (&$versions) {
            $versions = [null];
        });
        return ['purge', ''];
    }

    public function versions(): array {
        return $this->possible;
    }

    /** Others may see the old version or the new one while the pages of a round run. */
    public function between(array $before): void {
        foreach ($before as $key => $versions) {
            $this->possible[$key] = array_values(array_unique([...$versions, ...$this->possible[$key]], SORT_REGULAR));
        }
    }

    public function settle(array $after): void {
        $this->possible = $after;
    }
}

function random_key(int $rest = 0, int $of = 1): string {
    return 'k' . (mt_rand(0, intdiv(KEYS, $of) - 1) * $of + $rest);
}

function fail(string $message, Server $server): never {
    echo $message, "\n", substr($server->log(), -3000);
    exit(1);
}

/** @return array<string> settings that every run has */
function settings(bool $jit): array {
    $opcache = ['zend_extension=opcache', 'opcache.enable=1', 'opcache.jit_buffer_size=32M', 'opcache.jit=' . ($jit ? 'tracing' : 'disable')];
    return ['extension=' . getenv('LARDER_SO'), 'display_errors=0', 'memory_limit=256M', ...$opcache];
}

/** Runs pages in one worker; returns what it said at the quarter and at the end. */
function one(Server $server, int $requests, string $backend): array {
    $model = new Model;
    $config = ['server' => $backend, 'near_bytes' => 65536];
    $ends = ['exit', 'throw', 'fatal', 'memory', 'nothing'];
    $told = [];
    for ($request = 1; $request <= $requests; $request++) {
        $steps = [];
        for ($step = mt_rand(5, 30); $step > 0; $step--) {
            $steps[] = mt_rand(0, 9) < 7 ? $model->check(random_key()) : $model->write(random_key());
        }
        mt_rand(0, 300) === 0 && $steps[] = $model->purge();
        match ($request % 500) {
            100 => array_unshift($steps, ['session', '']),
            101 => array_unshift($steps, ['locked late', '']),
            default => null,
        };
        $tell = in_array($request, [intdiv($requests, 4), $requests], true);
        $ended = !$tell && mt_rand(0, 24) === 0;
        if ($ended) {
            $steps[] = ['end', ['get', 'page'][mt_rand(0, 1)], $ends[mt_rand(0, 4)]];
            $request % 4 === 0 && $steps[array_key_last($steps)] = ['exhaust', ['get', 'many'][mt_rand(0, 1)]];
        }
        $body = json_encode(['seed' => $request, 'config' => $config, 'steps' => $steps, 'tell' => $tell]);
        $answer = $server->requests(PAGE, [$body])[0];
        if ($tell && ($said = json_decode($answer, true))) {
            $told[] = $said;
        } else if (!str_starts_with($answer, 'ok ') && !($ended && $answer === '')) {
            fail("request $request: " . substr($answer, 0, 2000), $server);
        }
    }
    [$quarter, $end] = $told;
    $quarter['pid'] === $end['pid'] || fail('the worker was replaced', $server);
    return $told;
}

/** Runs rounds of four pages at once; returns how many workers took part. */
function many(Server $server, int $rounds, string $backend): int {
    $model = new Model;
    $workers = [];
    for ($round = 1; $round <= $rounds; $round++) {
        $before = $model->versions();
        $writes = [[], [], [], []];
        if (mt_rand(0, 15) === 0) {
            $writes[0][] = $model->purge();
        } else {
            foreach ($writes as $page => &$list) {
                for ($write = mt_rand(0, 4); $write > 0; $write--) {
                    $key = random_key($page, 4); // No two pages write the same key.
                    $list[$key] = $model->write($key);
                }
            }
            unset($list);
        }
        $after = $model->versions();
        $model->between($before);
        $bodies = [];
        foreach ($writes as $page => $list) {
            $steps = array_map(fn() => $model->check(random_key()), range(1, 10));
            array_push($steps, ...array_values($list));
            array_push($steps, ...array_map(fn($key) => ['check', $key, $after[$key]], array_filter(array_keys($list), 'is_string')));
            $bodies[$page] = json_encode(['seed' => $round * 4 + $page, 'config' => ['server' => $backend, 'near_bytes' => [65536, 33554432][$round % 2]], 'steps' => $steps]);
        }
        foreach ($server->requests(PAGE, $bodies) as $page => $answer) {
            str_starts_with($answer, 'ok ') || fail("round $round, page $page: " . substr($answer, 0, 2000), $server);
            $workers[substr($answer, 3)] = true;
        }
        $model->settle($after);
    }
    return count($workers);
}

[, $mode] = $argv + [null, 'one'];
mt_srand((int)(getenv('LARDER_SEED') ?: 1));
if ($mode === 'one') {
    $requests = (int)($argv[2] ?? 10000);
    $server = new Server(1, settings(true));
    [$quarter, $end] = one($server, $requests, "local:{$server->directory()}/store?size=64M");
    $end['jit'] && $end['opcache'] || fail('opcache or its JIT is off', $server);
    $grown = $end['rss'] - $quarter['rss'];
    echo "one worker: $requests requests, {$end['near_hits']} hits in memory, {$end['hits']} from the store, resident {$end['rss']} KiB, $grown more than after a quarter\n";
    $end['near_hits'] > $requests && $end['hits'] > $requests || fail('the near cache was not put to the test', $server);
    $grown <= 4096 || fail('the worker grew', $server);
} else if ($mode === 'many') {
    $rounds = (int)($argv[2] ?? 400);
    $backends = ['local:' . fresh_directory() . '/store?size=64M', 'redis+unix://' . redis_server()[0]];
    foreach ($backends as $number => $backend) {
        $server = new Server(4, settings($number === 1));
        $workers = many($server, $rounds, $backend);
        echo 'many workers: ', strtok($backend, ':'), ", $rounds rounds of 4 pages, served by $workers workers\n";
        $workers === 4 || fail('not all workers took part', $server);
    }
} else if ($mode === 'gap') {
    gap();
} else {
    $requests = (int)($argv[2] ?? 150);
    $lost = [];
    foreach ([$requests, $requests * 3] as $length) {
        mt_srand(1);
        $valgrind = ['valgrind', '--leak-check=full', '--show-leak-kinds=definite', '--trace-children=yes', '--child-silent-after-fork=no'];
        $logs = fresh_directory();
        $server = new Server(1, settings(false), [...$valgrind, "--log-file=$logs/%p"]);
        [, $end] = one($server, $length, "local:{$server->directory()}/store?size=64M");
        $server->stop();
        $log = file_get_contents("$logs/{$end['pid']}");
        preg_match('/definitely lost: ([\d,]+) bytes|(no leaks are possible)/', $log, $match) || fail("no summary:\n$log", $server);
        $lost[$length] = (int)str_replace(',', '', $match[1]);
        preg_match('/ERROR SUMMARY: (\d+) errors from (\d+) contexts/', $log, $errors);
        echo "valgrind: $length requests, {$lost[$length]} bytes definitely lost\n";
        if (preg_match('/(Invalid (read|write|free)|uninitialised).*/', $log)) {
            fail(substr($log, 0, 6000), $server);
        }
    }
    // PHP itself loses some 20 KB when it starts, not the same in each run. A value lost by us weighs 300 bytes or more.
    if ($lost[$requests * 3] - $lost[$requests] > 64 * 2 * $requests) {
        fail("what is lost grows with the requests:\n" . substr($log, -6000), $server);
    }
}
