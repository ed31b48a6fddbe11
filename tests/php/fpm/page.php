<?php
// One request: does what its body lists, compares every value, spoils what it was given, and says what went wrong.

require __DIR__ . '/../../../php-ext/tests/near.inc';
require __DIR__ . '/values.php';
error_reporting(E_ALL & ~E_WARNING & ~E_DEPRECATED); // Not every mutation fits every value.

/** Reads what it holds once more when the request is over. */
class Held {
    public $values = [];
    public function __destruct() {
        foreach ($this->values as [$value, $want]) {
            if (serialize($value) !== $want) {
                echo "a value changed while it was held\n";
            }
        }
    }
}

class Ender {
    public function __construct(public string $how) {
    }
    public function __serialize(): array {
        return ['how' => $this->how];
    }
    public function __unserialize(array $data): void {
        end_request($data['how']);
    }
}

/** Takes a lock when the session is written, which is after the extension has ended the request. */
class Sessions implements SessionHandlerInterface {
    public function __construct(private Larder\Cache $cache) {
    }
    public function open($path, $name): bool { return true; }
    public function close(): bool { return true; }
    public function read($id): string { return ''; }
    public function write($id, $data): bool { return $this->cache->acquireLock('late', 'session', 15); }
    public function destroy($id): bool { return true; }
    public function gc($lifetime): int { return 0; }
}

function end_request(string $how): void {
    match ($how) {
        'exit' => exit,
        'throw' => throw new LogicException('thrown by the page'),
        'fatal' => trigger_error('the end', E_USER_ERROR),
        'memory' => str_repeat('x', 1 << 40),
        'nothing' => null,
    };
}

$work = json_decode(file_get_contents('php://input'), true);
mt_srand($work['seed']);
$mutations = array_values(mutations());
$store = Larder\Store::open($work['config']);
$cache = $store->cache('shared');
$keeper = new Held;
$answer = [];
foreach ($work['steps'] as $step) {
    [$verb, $key] = $step;
    switch ($verb) {
        case 'check': // The entry is one of those versions.
            $value = mt_rand(0, 1) ? $cache->get($key) : ($cache->getMany([$key, 'none'])[$key] ?? null);
            $seen = $value['version'] ?? null;
            if (!in_array($seen, $step[2], true)) {
                echo "$key is of version ", json_encode($seen), ', not of ', json_encode($step[2]), "\n";
            }
            if ($value !== null) {
                $want = serialize(version($key, $seen));
                if (serialize($value) !== $want) {
                    echo "$key of version $seen is not what was stored\n";
                }
                try {
                    $mutations[mt_rand(0, count($mutations) - 1)]($value['data']); // One: some make cycles.
                } catch (Error) {
                    // Not for this kind of value.
                }
                if (mt_rand(0, 2) === 0 && ($again = $cache->get($key)) && $again['version'] === $seen) {
                    $keeper->values[] = [$again, $want];
                }
            }
            break;
        case 'set':
            $cache->set($key, version($key, $step[2])) || print("set of $key refused\n");
            break;
        case 'delete':
            $cache->delete($key);
            break;
        case 'purge':
            $cache->purge() || print("purge refused\n");
            break;
        case 'session':
            ini_set('session.use_cookies', '0');
            ini_set('session.cache_limiter', '');
            session_set_save_handler(new Sessions($cache), false);
            session_id('one');
            session_start();
            break;
        case 'locked late': // By the session of the request before.
            ($cache->acquireLock('late', 'next', 0) && $cache->releaseLock('late', 'next')) || print("a lock of the request before is still held\n");
            break;
        case 'end': // In the middle of a set, a get or nothing.
            $ender = [str_repeat('x', 3000), new Ender($step[2])];
            $cache->setMany(["ender $key" => $ender, "rest" => [1]]);
            register_shutdown_function(fn() => print(serialize($cache->get('rest')) === serialize([1]) ? '' : "lost at shutdown\n"));
            $key === 'get' ? $cache->getMany(['rest', "ender $key"]) : end_request($step[2]);
            break;
        case 'exhaust': // memory_limit is reached while values are built.
            $objects = $store->cache('objects');
            $objects->has('big') || $objects->set('big', array_map(fn($i) => (object)['id' => $i, 'in' => (object)['text' => "text $i"]], range(1, 3000)));
            ini_set('memory_limit', memory_get_usage(true) + 8000000);
            for ($all = [];;) {
                $all[] = $key === 'get' ? $objects->get('big') : $objects->getMany(['big', 'big', 'none']);
            }
    }
}
// A cycle that only the end of the request breaks.
$keeper->cycle = new stdClass;
$keeper->cycle->all = $keeper;
if ($work['tell'] ?? false) {
    preg_match('/VmRSS:\s+(\d+)/', file_get_contents('/proc/self/status'), $match);
    echo json_encode(['rss' => (int)$match[1], 'pid' => getmypid(), 'jit' => opcache_get_status()['jit']['on'] ?? false,
        'opcache' => (bool)(opcache_get_status()['opcache_enabled'] ?? false)] + $store->stats());
} else {
    echo 'ok ', getmypid();
}
