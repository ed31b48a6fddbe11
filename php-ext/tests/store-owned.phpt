--TEST--
User code in the middle of a call frees the keys, the arrays, the default value and the cache itself: the call goes on with what it was given
--EXTENSIONS--
pcntl
posix
--FILE--
<?php
require __DIR__ . '/store.inc';
class Evil {
    public static ?Closure $do = null;
    public $rows = [1, 2];
    public function __serialize(): array {
        self::act();
        return $this->rows;
    }
    public function __unserialize(array $rows): void {
        $this->rows = $rows;
        self::act();
    }
    private static function act(): void {
        if (self::$do !== null) {
            (self::$do)();
            // Whatever was freed is overwritten.
            for ($i = 0, $filled = []; $i < 300; $i++) {
                $filled[] = str_repeat(chr(65 + $i % 26), $i % 150);
                $filled[] = range(0, $i % 8);
                $filled[] = new ArrayObject;
            }
        }
    }
}
/** A string that nobody else has. */
function own(string $text): string {
    return substr("$text ends in dots" . str_repeat('.', mt_rand(3, 3)), 0, -1);
}
/** A cache that only the caller's variable holds; these functions are called as such, not as the compiler would. */
function cache(array $options = []): Larder\Cache {
    global $store;
    $cache = $store->cache('c', $options);
    Evil::$do = null;
    $cache->setMany(['evil' => [new Evil], 'plain' => [3], own('second') => ['two'], own('third') => ['three'], '7' => 'seven']);
    return $cache;
}
[$call, $call_array] = ['call_user_func', 'call_user_func_array'];
$store = local_store();
foreach ([[], ['near' => false], ['durable' => true]] as $options) {
    // Keys that are references.
    $cache = cache($options);
    $second = own('second');
    $third = own('third');
    $seventh = 7;
    $keys = ['evil', &$second, &$third, &$seventh, own('none')];
    Evil::$do = function () use (&$second, &$third, &$seventh, &$keys) {
        $second = $third = $seventh = null;
        $keys = null;
    };
    $got = $call_array([$cache, 'getMany'], [&$keys]);
    same('getMany', ['evil', own('second'), own('third'), 7], array_keys($got));
    same('values', [['two'], ['three'], 'seven'], array_slice(array_values($got), 1));
    foreach (['hasAny' => true, 'hasAll' => false] as $method => $want) {
        [$second, $third, $seventh] = [own('none'), own('nowhere'), 7];
        $keys = ['evil', &$second, &$third, &$seventh];
        same($method, $want, $call_array([$cache, $method], [&$keys]));
    }
    // Those whose entries cannot be read are told by name.
    $cache = cache($options);
    [$second, $third] = [own('bad'), own('worse')];
    $cache->setMany([$second => new Evil, $third => new Evil]);
    foreach (['getMany', 'hasAny', 'hasAll'] as $method) {
        [$second, $third] = [own('bad'), own('worse')];
        $keys = ['plain', &$second, &$third];
        Evil::$do = function () use (&$second, &$third, &$keys) {
            $second = $third = $keys = null;
            throw new LogicException('no longer');
        };
        $got = $call_array([$cache, $method], [&$keys]);
        same($method, match ($method) { 'getMany' => ['plain' => [3]], 'hasAny' => true, 'hasAll' => false }, $got);
    }
    // The key and the default of one get.
    [$key, $default] = [own('bad'), [own('default')]];
    Evil::$do = function () use (&$key, &$default) {
        $key = $default = null;
        throw new LogicException('no longer');
    };
    same('default', [own('default')], $call_array([$cache, 'get'], [&$key, &$default]));
    $key = own('bad');
    same('has', false, $call_array([$cache, 'has'], [&$key]));
    // The cache itself, and what the hook sees of the call.
    foreach ([
        'get' => ['evil'],
        'getMany' => [['evil', 'plain']],
        'has' => ['evil'],
        'hasAny' => [['none', 'evil']],
        'hasAll' => [['evil', 'plain']],
        'set' => ['evil', [new Evil]],
        'setMany' => [['evil' => new Evil, 'last' => 1]],
    ] as $method => $arguments) {
        $cache = cache($options);
        $seen = [];
        Evil::$do = function () use (&$cache, &$seen) {
            $cache = null;
            gc_collect_cycles();
            foreach (debug_backtrace() as $frame) {
                if (($frame['class'] ?? '') === 'Larder\Cache') {
                    $seen[] = get_class($frame['object']) . '->' . $frame['function'];
                }
            }
        };
        $got = $call([&$cache, $method], ...$arguments);
        same("$method: gone", [null, "Larder\Cache->$method"], [$cache, $seen[0]]);
        Evil::$do = null;
        $want = ['get' => [[1, 2]], 'getMany' => ['evil', 'plain'], 'setMany' => 2][$method] ?? true;
        same("$method: done", $want, match ($method) { 'get' => array_column($got, 'rows'), 'getMany' => array_keys($got), default => $got });
        $cache = cache($options);
        Evil::$do = function () use (&$cache) {
            $cache = null;
            throw new LogicException('in the middle');
        };
        $hides = outcome(fn() => $call([&$cache, $method], ...$arguments));
        same("$method: thrown", str_starts_with($method, 'set') ? 'LogicException: in the middle' : true,
            str_starts_with($method, 'set') ? $hides : in_array($hides, ['null', '{"plain":[3]}', 'false'], true));
    }
}
// What a hook overwrites in the value that is being written: references, properties, slots.
class Slots {
    public $evil;
    public $next;
    public $last = 'last';
}
$cache = $store->cache('c');
$rows = fn() => [new Evil, str_repeat('b', 1000), [str_repeat('c', 100), new stdClass]];
foreach (['set' => fn($value) => $cache->set('k', $value), 'setMany' => fn($value) => $cache->setMany(['k' => $value])] as $how => $write) {
    Evil::$do = null;
    $x = $rows();
    Evil::$do = function () use (&$x) {
        $x = null;
    };
    $write(['a' => &$x, 'b' => 2]);
    Evil::$do = null;
    same("$how: reference", [1000, 100, 2], [strlen(($got = $cache->get('k'))['a'][1]), strlen($got['a'][2][0]), $got['b']]);
    $object = (object)['in' => (object)['evil' => new Evil, 'text' => str_repeat('q', 500)], 'rows' => $rows(), 'last' => 1];
    Evil::$do = function () use ($object) {
        $object->in = $object->rows = null;
        $object->new = range(1, 50);
    };
    $write([$object, 3]);
    Evil::$do = null;
    same("$how: property", [500, 1, 3], [strlen(($got = $cache->get('k'))[0]->in->text), $got[0]->last, $got[1]]);
    foreach ([
        'ArrayObject' => fn($rows) => new ArrayObject($rows),
        'SplDoublyLinkedList' => function ($rows) {
            $list = new SplDoublyLinkedList;
            foreach ($rows as &$row) {
                $list[] = $row;
            }
            return $list;
        },
        'SplObjectStorage' => function ($rows) {
            $storage = new SplObjectStorage;
            $storage[new stdClass] = $rows;
            return $storage;
        },
    ] as $class => $wrap) {
        foreach (['around' => fn(&$x) => ['x' => &$x], 'inside' => fn(&$x) => $wrap(['x' => &$x])] as $where => $value) {
            $x = [$wrap([new Evil]), str_repeat('~', 1000)];
            Evil::$do = function () use (&$x) {
                $x = null;
            };
            $write($value($x));
            Evil::$do = null;
            same("$how: $where $class", 1000, substr_count(serialize($cache->get('k')), '~'));
            unset($x);
        }
    }
    $slots = new Slots;
    [$slots->evil, $slots->next] = [$rows(), new Slots];
    $slots->next->evil = $rows();
    Evil::$do = function () use ($slots) {
        $slots->evil = $slots->next = null;
    };
    $write([$slots, 4]);
    Evil::$do = null;
    same("$how: slot", [1000, 'last', 4], [strlen(($got = $cache->get('k'))[0]->evil[1]), $got[0]->last, $got[1]]);
}
// A key that is listed twice: its first object goes, and its destructor throws.
class Last {
    public static bool $throws = false;
    public function __wakeup() {
    }
    public function __destruct() {
        self::$throws && throw new LogicException('from a destructor');
    }
}
$cache->setMany(['last' => [new Last], 'plain' => [1], 'evil' => [new Evil]]);
foreach (['getMany' => ['last', 'last', 'evil', 'plain'], 'has' => 'last', 'hasAll' => ['last', 'evil', 'plain']] as $method => $keys) {
    Last::$throws = true;
    $seen = outcome(fn() => $cache->$method($keys));
    Last::$throws = false;
    same("$method: destructor", 'LogicException: from a destructor', $seen);
}
same('still there', [true, [1]], [$cache->hasAll(['last', 'evil', 'plain']), $cache->get('plain')]);
// A signal handler in the middle of a wait.
pcntl_async_signals(true);
Evil::$do = null;
$store = local_store(['lock_lease' => 1]);
$holder = $store->cache('c');
same('held', true, $holder->acquireLock(own('locked'), 'first', 20));
$cache = $store->cache('c');
[$key, $owner] = [own('locked'), own('owner')];
pcntl_signal(SIGALRM, function () use (&$cache, &$key, &$owner, $holder) {
    $cache = $key = $owner = null;
    gc_collect_cycles();
    $holder->releaseLock(own('locked'), 'first');
});
pcntl_alarm(1);
same('locked', true, $call_array([&$cache, 'acquireLock'], [&$key, &$owner, 20.0]));
same('whose', [null, true], [$cache, $holder->releaseLock(own('locked'), own('owner'))]);
echo "done\n";
?>
--EXPECT--
done
