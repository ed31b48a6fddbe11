--TEST--
Values at their edges: huge, deep, odd floats, bytes that are no text, classes that are gone
--INI--
memory_limit=1G
--FILE--
<?php
require __DIR__ . '/store.inc';
enum Suit: string {
    case Hearts = 'h';
    case Spades = 's';
}
class Typed {
    public int $number = 1;
    protected ?array $list = [1];
    private string $secret = "\xff\0";
    public readonly float $fixed;
    public function __construct() {
        $this->fixed = -0.0;
    }
}
$store = local_store(['near_bytes' => '8M']);
$slow = getenv('USE_ZEND_ALLOC') === '0';
foreach ([true, false] as $near) {
    $cache = $store->cache('c', ['near' => $near]);
    $object = new stdClass;
    $object->self = $object;
    $shared = new Typed;
    $reference = 1;
    $values = [
        'nan' => NAN, 'floats' => [-0.0, 0.0, INF, -INF, PHP_FLOAT_MIN, PHP_FLOAT_MAX, PHP_FLOAT_EPSILON, 0.1 + 0.2, 1.0, 5e-324],
        'integers' => [PHP_INT_MAX, PHP_INT_MIN, 0, -1, 2147483648, -2147483649], 'null' => null, 'false' => false, 'empty' => '', 'none' => [],
        'bytes' => ["\xff", "\0", "\xc3\x28", "\xed\xa0\x80", str_repeat("\xf0", 300), "\xff\0key" => "\xfe"],
        'keys' => [-1 => 'a', '-0' => 'b', '01' => 'c', PHP_INT_MAX => 'd', '' => 'e', "a\0b" => 'f', "\0" => 'g'],
        'order' => [5 => 1, 3 => 2, 'x' => 3, 0 => 4], 'enum' => [Suit::Hearts, Suit::Spades, Suit::Hearts],
        'typed' => [$shared, $shared, new Typed], 'cycle' => $object, 'references' => [&$reference, &$reference, [&$reference]],
        'dates' => [new DateTimeImmutable('@0.5'), new DateTimeZone('Europe/Berlin'), new DateInterval('P1D')],
        'collections' => [new ArrayObject([1, [2]]), new SplObjectStorage, SplFixedArray::fromArray([1, null])],
        'text of 16 MB' => str_repeat("\xf0\0", 8 << 20), 'wide' => array_fill(0, 100000, 'x'),
        'gone' => unserialize('a:2:{i:0;O:8:"Gone\Now":2:{s:1:"a";i:1;s:4:"' . "\0*\0" . 'b";N;}i:1;O:8:"Gone\Now":0:{}}'),
    ];
    foreach ($values as $name => $value) {
        same("set $name", true, $cache->set($name, $value));
        foreach (['first', 'second'] as $time) {
            same("$time $name", serialize($value), serialize($cache->get($name)));
        }
    }
    $got = $cache->getMany(array_keys($values));
    same('all', serialize(array_map('serialize', $values)), serialize(array_map('serialize', $got)));
    same('identity', true, $got['typed'][0] === $got['typed'][1] && $got['typed'][0] !== $got['typed'][2] && $got['cycle']->self === $got['cycle']);
    same('enum', Suit::Hearts, $got['enum'][2]);
    $got['references'][0] = 2;
    same('linked', [2, 1], [$got['references'][2][0], $cache->get('references')[2][0]]);
    foreach ([100, 4000] as $depth) {
        for ($deep = [], $i = 1; $i < $depth; $i++) {
            $deep = [$deep];
        }
        same("deep $depth", [true, true], [$cache->set('deep', $deep), $cache->get('deep') === $deep]);
    }
    for ($deep = [], $i = 1; $i < 10000; $i++) {
        $deep = [$deep];
    }
    echo outcome(fn() => $cache->set('deep', $deep)), "\n";
    same('what was there stays', true, is_array($cache->get('deep')));
    unset($deep, $got, $value, $values);
    if (!$slow) {
        $huge = str_repeat('0123456789', 10 << 20);
        same('100 MB', [true, true, true], [$cache->set('huge', $huge), $cache->get('huge') === $huge, $cache->get('huge') === $huge]);
        same('not kept', true, $store->stats()['near_bytes'] <= 8 << 20);
        $cache->delete('huge');
        unset($huge);
    }
}
same('more than the store holds', false, $slow ? false : local_store(['namespace' => 'small'])->cache('c')->set('k', random_bytes(300 << 20)));
same('broken', 0, $store->stats()['broken']);
echo "done\n";
?>
--EXPECT--
Larder\ValueException: the value nests deeper than unserialize() follows
Larder\ValueException: the value nests deeper than unserialize() follows
done
