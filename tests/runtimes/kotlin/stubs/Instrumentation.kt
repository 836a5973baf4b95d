package androidx.test.platform.app

import android.content.Context
import java.io.File

class Instrumentation(test: File, app: File) {
    val context = Context(test)
    val targetContext = Context(app)
}

object InstrumentationRegistry {
    // The folder of a bundle: assets of the app and of its test in one.
    lateinit var folder: File

    fun getInstrumentation() = Instrumentation(folder, folder)
}
