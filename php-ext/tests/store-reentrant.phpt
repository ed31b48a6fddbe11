--TEST--
Hooks of values, class loaders and output callbacks that use the same cache in the middle of a call
--FILE--
<?php
require __DIR__ . '/store.inc';
class Hooked {
    public function __construct(public $inside, public ?string $then = null) {
    }
    public function __serialize(): array {
        busy("serialize {$this->then}");
        return [$this->inside, $this->then];
    }
    public function __unserialize(array $data): void {
        [$this->inside, $this->then] = $data;
        busy("unserialize {$this->then}");
    }
}
class Sleeper {
    public $rows = [1, 2, 3];
    public function __sleep() {
        busy('sleep');
        return ['rows'];
    }
    public function __wakeup() {
        busy('wakeup');
        $this->rows[] = 4;
    }
    public function __destruct() {
        busy('destruct');
    }
}
/** Does all that a hook may do to the caches. */
function busy(string $when): void {
    global $cache, $store, $what, $depth;
    if (!$what || $depth > ($GLOBALS['slow'] ? 0 : 2)) {
        return;
    }
    $depth++;
    $cache->set("by hook", [$when, (object)['a' => [1]]]);
    same("own write in $when", $when, $cache->get("by hook")[0]);
    $cache->getMany(['plain', 'by hook', 'hooked', 'none']);
    $cache->setMany(['x' => 1, 'y' => [2]]);
    $cache->deleteMany(['x']);
    $cache->keys();
    $store->stats();
    match ($what) {
        'delete' => $cache->delete('hooked'),
        'overwrite' => $cache->set('hooked', 'overwritten'),
        'purge' => $cache->purge(),
        'purge all' => $store->purge(),
        'read' => $cache->get('hooked'),
        'sync' => $store->sync(),
        'collect' => gc_collect_cycles(),
        'drop' => $GLOBALS['cache'] = $store->cache('c'),
    };
    $depth--;
}
$slow = getenv('USE_ZEND_ALLOC') === '0'; // Valgrind.
foreach ([['near_bytes' => '8M'], ['near_bytes' => 4096], ['near_bytes' => 0], ['max_staleness' => 0]] as $options) {
    $store = local_store($options);
    foreach (['delete', 'overwrite', 'purge', 'purge all', 'read', 'sync', 'collect', 'drop'] as $want) {
        $cache = $store->cache('c');
        $make = fn() => [new Hooked(['row' => 1], 'first'), new Sleeper, (object)['plain' => [1]], new Hooked(new Sleeper, 'last')];
        $what = null;
        $cache->set('plain', [1, 2]);
        $depth = 0;
        // A call stores or returns what it would have without the hooks, or, when they changed the entry, what they left.
        $made = [$make(), $make()]; // Their destructors have to wait.
        $what = $want;
        same("$want: set", true, $cache->set('hooked', $made[0]));
        $what = null;
        same("$want: stored", 4, count($cache->get('hooked')));
        $what = $want;
        $got = $cache->get('hooked');
        $what = null;
        same("$want: got", ['row' => 1], $got[0]->inside);
        same("$want: woken", [1, 2, 3, 4], $got[1]->rows);
        $cache->setMany(['hooked' => $made[0], 'hooked2' => $made[1], 'plain' => [1, 2]]);
        $what = $want;
        $many = $cache->getMany(['plain', 'hooked', 'none', 'hooked2', 'plain']);
        $what = null;
        same("$want: many", ['plain', 'hooked', 'hooked2'], array_keys($many));
        same("$want: in many", [['row' => 1], [1, 2]], [$many['hooked2'][0]->inside, $many['plain']]);
        $what = $want;
        same("$want: set many", 2, $cache->setMany(['hooked' => $made[0], 'hooked2' => $made[1]]));
        same("$want: all", true, is_bool($cache->hasAll(['hooked', 'hooked2'])));
        unset($got, $many, $made);
        $what = null;
    }
}
// After an own purge a set is never taken for a fill of before.
foreach (['delete' => fn() => $cache->delete('k'), 'purge' => fn() => $cache->purge(), 'purge of all' => fn() => $store->purge()] as $how => $empty) {
    $store = local_store();
    $cache = $store->cache('c');
    same('missing', null, $cache->get('k'));
    $empty();
    same($how, [true, 1], [$cache->set('k', 1), $cache->get('k')]);
}
// A hook that overwrites other elements of the array that is being stored.
class Overwriter {
    public function __serialize(): array {
        $GLOBALS['second'] = null;
        $GLOBALS['items'] = null;
        $GLOBALS['third'][] = str_repeat('x', 100000);
        return [];
    }
}
$cache = $store->cache('c');
$second = [str_repeat('a', 1000), [new Overwriter, str_repeat('b', 1000)], str_repeat('c', 1000)];
$third = [range(1, 100)];
$items = ['first' => new Overwriter, 'second' => &$second, 'third' => &$third];
same('overwriter', 3, $cache->setMany($items));
$second = [str_repeat('a', 1000), [new Overwriter, str_repeat('b', 1000)], str_repeat('c', 1000)];
$items = ['second' => &$second, 'third' => &$third, 'first' => 1];
same('overwriter', 3, $cache->setMany($items));
same('whole', 1000, strlen($cache->get('second')[2]));
$second = [new Overwriter, str_repeat('c', 1000)];
same('by reference', true, call_user_func_array([$cache, 'set'], ['k', &$second]));
same('whole', 1000, strlen($cache->get('k')[1]));
// A class loader in the middle of a get.
$cache->set('late', unserialize('a:2:{i:0;O:9:"LateClass":1:{s:1:"a";i:1;}i:1;O:5:"Never":1:{s:1:"a";i:1;}}'));
spl_autoload_register(function ($class) {
    global $cache;
    $cache->set("loading $class", $class);
    $cache->purge();
    if ($class === 'LateClass') {
        eval('class LateClass { public $a; public $b = 2; }');
    }
});
[$late, $never] = $cache->get('late');
same('loaded late', [1, 2, '__PHP_Incomplete_Class'], [$late->a, $late->b, get_class($never)]);
// An exception of a hook passes; the cache goes on.
class Throws {
    public function __construct(private bool $late = false) {
    }
    public function __serialize(): array {
        return $this->late ? [] : throw new LogicException('from the hook');
    }
    public function __unserialize(array $data): void {
        throw new LogicException('from the other hook');
    }
}
show([
    'set' => fn() => $cache->set('k', new Throws),
    'setMany' => fn() => $cache->setMany(['a' => 1, 'k' => [new Throws]]),
    'get' => fn() => [$cache->set('k', [new Throws(true)]), $cache->get('k', 'missed'), $cache->getMany(['k', 'a'])],
    'then' => fn() => [$cache->set('k', 1), $cache->get('k')],
]);
// Output callbacks.
ob_start(function ($text) use ($cache) {
    $cache->set('printed', $text);
    return strtoupper($text) . $cache->get('printed');
});
echo 'text ';
ob_end_flush();
// A generator and a fiber left in the middle.
$generator = (function () use ($cache) {
    foreach ($cache->getMany(['k', 'printed']) as $key => $value) {
        yield $key => $cache->get($key);
    }
})();
echo $generator->current(), "\n";
$fiber = new Fiber(function () use ($cache) {
    $cache->set('fiber', new class_in_fiber);
    return $cache->get('fiber');
});
class class_in_fiber {
    public function __serialize(): array {
        Fiber::suspend();
        return ['x' => 1];
    }
    public function __unserialize(array $data): void {
        Fiber::suspend();
    }
}
$fiber->start();
$cache->set('outside', [1]);
$fiber->resume();
same('outside', [1], $cache->get('outside'));
$fiber->resume();
same('fiber', true, $fiber->getReturn() instanceof class_in_fiber);
$never = new Fiber(fn() => $cache->set('never', [new class_in_fiber]));
$never->start();
unset($never, $fiber);
same('after the fibers', [1], $cache->get('outside'));
echo "done\n";
?>
--EXPECT--
set: LogicException: from the hook
setMany: LogicException: from the hook
get: [true,"missed",[]]
then: [true,1]
TEXT text 1
done
