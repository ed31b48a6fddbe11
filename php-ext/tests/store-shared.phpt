--TEST--
Objects of a cache: whatever takes or writes their whole table of properties does what it does to any object, and the next caller sees nothing of it
--FILE--
<?php
require __DIR__ . '/store.inc';

$plain = fn() => (object)['n' => 1, 's' => "caf\u{e9}", 'l' => [1, [2]], 'nothing' => null, '7' => 'seven'];
$value = ['records' => [$plain(), $plain()], 'one' => $plain()];
$expected = serialize($value);
$cache = local_store(['max_staleness' => 1000])->cache('c');
$cache->set('v', $value);
$cache->set('o', $plain());

$kept = [];
$acts = [
    'array_walk' => fn($o) => array_walk($o, fn(&$v) => $v = is_int($v) ? $v + 1 : $v),
    'array_walk, by value' => fn($o) => array_walk($o, fn($v, $k) => null),
    'array_walk, kept' => fn($o) => array_walk($o, function (&$v) use (&$kept) {
        $kept[] = &$v;
        $v = 'kept';
    }),
    'array_walk_recursive' => fn($o) => array_walk_recursive($o, fn(&$v) => $v = 'walked'),
    'array_walk, thrown' => fn($o) => array_walk($o, fn(&$v) => throw new Exception('thrown')),
    'mb_convert_variables' => fn($o) => !function_exists('mb_convert_variables') ?: mb_convert_variables('ISO-8859-1', 'UTF-8', $o),
    'settype' => function ($o) {
        settype($o, 'array');
        $o['n'] = 'set';
        return $o;
    },
    'cast' => function ($o) {
        $array = (array)$o;
        $array['l'][] = 3;
        $object = (object)$array;
        $object->n = 'cast';
        return [$array, $object];
    },
    'get_object_vars' => function ($o) {
        $vars = get_object_vars($o);
        foreach ($vars as &$v) {
            $v = 'var';
        }
        return $vars;
    },
    'foreach by reference' => function ($o) {
        foreach ($o as $k => &$v) {
            $v = "each $k";
        }
    },
    'foreach and unset' => function ($o) {
        foreach ($o as $k => $v) {
            unset($o->$k);
        }
    },
    'reference to a property' => function ($o) {
        $r = &$o->l[1];
        $r[] = 'referenced';
    },
    'clone' => function ($o) {
        $clone = clone $o;
        $clone->n = 'cloned';
        array_walk($clone, fn(&$v) => $v = 'walked');
        return [$clone, clone $clone];
    },
    'ArrayObject' => function ($o) {
        $array = new ArrayObject($o);
        $array['n'] = 'array object';
        $array['new'] = [1];
        unset($array['s']);
        $other = new ArrayObject();
        $other->exchangeArray($o);
        $other['n'] .= ' exchanged';
        return [count($array), iterator_to_array($array), $array->getArrayCopy()];
    },
    'ArrayIterator' => function ($o) {
        $iterator = new RecursiveIteratorIterator(new RecursiveArrayIterator($o));
        $found = iterator_to_array($iterator, false);
        $iterator = new ArrayIterator($o);
        foreach ($iterator as $k => $v) {
            $iterator[$k] = 'iterated';
        }
        return $found;
    },
    'array functions' => fn($o) => [@reset($o), @next($o), @key($o), @end($o), @current($o)],
    'serializers' => fn($o) => [json_encode($o), var_export($o, true), print_r($o, true), serialize($o), unserialize(serialize($o)),
        http_build_query($o), function_exists('igbinary_serialize') ? igbinary_serialize($o) === igbinary_serialize($plain()) : true],
    'comparisons' => fn($o) => [$o == $plain(), $o <=> $plain(), $o == $cache->get('o'), $o === $o, in_array($plain(), [$o])],
    'compared in an error handler' => function ($o) {
        set_error_handler(fn() => throw new Exception('thrown'));
        try {
            return $o == (object)['n' => new stdClass()] + $o;
        } finally {
            restore_error_handler();
        }
    },
    'reflection' => function ($o) {
        $property = new ReflectionProperty($o, 'n');
        $property->setValue($o, 'reflected');
        return (new ReflectionObject($o))->getProperties() == [] ? 'none' : $property->getValue($o);
    },
    'closures' => fn($o) => Closure::bind(fn() => $this->n++, $o)(),
    'cycle' => function ($o) {
        $o->self = $o;
        $o->array = (array)$o;
        gc_collect_cycles();
    },
    'cycle around' => function ($o) {
        $holder = new stdClass();
        $holder->held = [$o, $holder, (array)$o];
        unset($holder, $o);
        gc_collect_cycles();
    },
    'stored again' => function ($o) use ($cache) {
        $cache->set('again', [$o, clone $o, (array)$o]);
        return $cache->get('again');
    },
];
// References in what a call leaves show as such, so the comparison is with serialize().
$outcome = function ($act, $object) {
    try {
        $result = $act($object);
    } catch (Throwable $thrown) {
        $result = get_class($thrown) . ': ' . $thrown->getMessage();
    }
    return serialize([$result, $object]);
};
foreach (['once', 'again'] as $round) {
    foreach ($acts as $name => $act) {
        $others = [$cache->get('o'), $cache->get('v')];
        foreach ([fn() => $cache->get('o'), fn() => $cache->get('v')['records'][1], fn() => $cache->get('v')['one']] as $number => $get) {
            same("$name, $number, $round", $outcome($act, $plain()), $outcome($act, $get()));
        }
        same("$name: the next caller", $expected, serialize($cache->get('v')));
        same("$name: callers before", serialize([$plain(), $value]), serialize($others));
        gc_collect_cycles();
    }
}
echo count($acts), " acts\n";
?>
--EXPECT--
24 acts
