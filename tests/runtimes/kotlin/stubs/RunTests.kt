// Stands in for Android's test runner: a bundle's folder, then names of test classes.

import androidx.test.platform.app.InstrumentationRegistry
import java.io.File
import org.junit.Test

fun main(arguments: Array<String>) {
    InstrumentationRegistry.folder = File(arguments[0])
    for (name in arguments.drop(1)) {
        val tests = Class.forName(name)
        val methods = tests.methods.filter { it.isAnnotationPresent(Test::class.java) }
        check(methods.isNotEmpty()) { "no tests in $name" }
        for (method in methods) {
            method.invoke(tests.getConstructor().newInstance())
            println("passed: $name.${method.name}")
        }
    }
}
